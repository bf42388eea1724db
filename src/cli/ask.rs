//! Arguments of `earmark ask`, `earmark fit-localizer` and `earmark eval qa`.

use std::path::PathBuf;

use anchoring::tier::{Tier, Tokens};
use clap::{Args, ValueEnum};

/// The server to ask, and how to call it.
#[derive(Clone, Debug, Default, Args)]
pub struct ModelArgs {
    /// The base address of a server with chat completions in OpenAI's form, such as http://127.0.0.1:8080/v1. Nothing is sent without one.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,

    /// The model's name on that server.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// The environment variable that holds the server's key [default: EARMARK_API_KEY]; the key is sent to the endpoint only, and never stored.
    #[arg(long, value_name = "VARIABLE")]
    pub key_env: Option<String>,

    /// A YAML file with a section `model:` (endpoint, name, key_env, timeout_s, retries, retry_wait_ms, max_images, max_tokens, extra); the
    /// command line overrides it.
    #[arg(long, value_name = "FILE.yaml")]
    pub model_file: Option<PathBuf>,

    /// A folder that keeps the server's answers by the hash of the request, so that no call is paid twice.
    #[arg(long, value_name = "DIR", default_value = "earmark-calls")]
    pub calls: PathBuf,

    /// Longest time for one call, seconds, 1..=3600 [default: 120].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout_s: Option<u64>,

    /// How often to repeat a call after a temporary failure, 0..=10 [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub retries: Option<u32>,

    /// Wait before the first repetition, ms, 1..=60000; doubles each time [default: 500].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub retry_wait_ms: Option<u64>,

    /// Most images in one call, 1..=256 [default: what the probe finds].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub max_images: Option<u32>,
}

/// How to choose the frames that the model sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Sampling {
    /// At even distances.
    Uniform,
    /// At random times.
    Random,
    /// At the most probable anchors: by sound alone.
    Anchors,
    /// At the anchors whose labels match the question.
    Matched,
    /// As matched, but with the times of the anchors shifted by half of the recording: a control.
    Shifted,
    /// The frames of which the model says that they show the answer (SeViLA).
    Localizer,
    /// Adaptive keyframe sampling on the scores of matched.
    Aks,
    /// Inverse transform sampling on the scores of matched (BOLT).
    Bolt,
    /// The frames that look most like the question, by --dual-encoder.
    ImageText,
    /// The frames that --localizer-head chooses.
    LocalizerHead,
}

impl Sampling {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Random => "random",
            Self::Anchors => "anchors",
            Self::Matched => "matched",
            Self::Shifted => "shifted",
            Self::Localizer => "localizer",
            Self::Aks => "aks",
            Self::Bolt => "bolt",
            Self::ImageText => "image-text",
            Self::LocalizerHead => "localizer-head",
        }
    }
}

/// How to choose and show frames; shared by `ask` and `eval qa`.
#[derive(Clone, Debug, Args)]
pub struct SelectionArgs {
    /// Most frames that the localizer is asked about, 1..=256; one call each.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub localizer_calls: u32,

    /// Tier of the frames for the localizer.
    #[arg(long, value_name = "low|base|high", default_value = "base")]
    pub localizer_tier: Tier,

    /// How often to ask a question if the server gives no logprobs, 1..=32; the confidence is the share of the most frequent answer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub samples: u32,

    /// A file that replaces the built-in words and explanations of the tagger's labels; `earmark ask --print sounds` prints those.
    #[arg(long, value_name = "FILE")]
    pub sounds: Option<PathBuf>,

    /// A model of kind text-encoder, by name or manifest: labels are matched to the question by meaning instead of by words.
    #[arg(long, value_name = "NAME|FILE")]
    pub text_encoder: Option<String>,

    /// For image-text: both halves of a dual encoder such as CLIP, by name or manifest: kinds encoder and text-encoder.
    #[arg(long, value_name = "IMAGE,TEXT", value_delimiter = ',')]
    pub dual_encoder: Vec<String>,

    /// Most frames that the dual encoder looks at for one question, 1..=4096.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub dual_frames: u32,

    /// For localizer-head: a head that `earmark fit-localizer` made.
    #[arg(long, value_name = "HEAD.safetensors")]
    pub localizer_head: Option<PathBuf>,

    /// Seed of the random strategy.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Give up after this many seconds without progress while decoding frames.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stall_timeout: u64,
}

/// `earmark ask`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is what `earmark run` wrote (.h5) or `earmark plan` (.jsonl): it says when something was heard. Frames are decoded from --video, only those
that are shown. `--print` writes a built-in template: plain, sound, contrastive, localizer or explain; or the list of sounds.

Examples:
  earmark ask kitchen.h5 --video kitchen.mp4 --question \"What did I pour the water into?\" --dry-run
  earmark ask kitchen.h5 --video kitchen.mp4 --question \"What did I pour the water into?\" \\
      --options \"a pan,a glass,the sink\" --endpoint http://127.0.0.1:8080/v1 --model MODEL --page answer.html
  earmark ask features/ --video recordings/ --question \"When did the glass break?\" --endpoint http://127.0.0.1:8080/v1 --model MODEL --json
  earmark ask --print contrastive > mine.txt")]
pub struct Ask {
    /// A feature file (.h5), a plan (.jsonl), or a folder of them.
    #[arg(required_unless_present = "print")]
    pub file: Option<PathBuf>,

    /// The recording; for a folder, a folder of recordings with the same names.
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "print")]
    pub video: Option<PathBuf>,

    /// The question.
    #[arg(long, value_name = "TEXT", required_unless_present = "print")]
    pub question: Option<String>,

    /// The options, 2 to 26, separated by commas; without any, the answer is free.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub options: Vec<String>,

    /// How to choose frames.
    #[arg(long, value_enum, default_value_t = Sampling::Matched)]
    pub sampling: Sampling,

    /// How to ask the question: plain, sound, contrastive, or your own template.
    #[arg(long, value_name = "NAME|FILE", default_value = "sound")]
    pub prompt: String,

    /// Tokens to spend on frames: as many are shown as they pay for at --tier [default: four frames].
    #[arg(long, value_name = "N")]
    pub tokens: Option<Tokens>,

    /// Tier of the frames.
    #[arg(long, value_name = "low|base|high", default_value = "high")]
    pub tier: Tier,

    /// How to choose and show frames.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// The server.
    #[command(flatten)]
    pub server: ModelArgs,

    /// Print the exact text and frames of every call; send nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Also write a page with the frames, which plays each span.
    #[arg(long, value_name = "OUT.html")]
    pub page: Option<PathBuf>,

    /// Replace the page if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Print a built-in template to start from.
    #[arg(long, value_name = "NAME", exclusive = true)]
    pub print: Option<String>,
}

/// The format of a file of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Questions {
    /// One JSON object per line: video, question, answer; optionally id, type, options, start_s, stop_s.
    Jsonl,
    /// NExT-QA, multiple choice (CSV).
    #[value(name = "nextqa")]
    NextQa,
    /// STAR (JSON).
    Star,
    /// AVQA (JSON).
    Avqa,
    /// EgoSchema: questions.json, with subset_answers.json beside it.
    #[value(name = "egoschema")]
    EgoSchema,
    /// MUSIC-AVQA (JSON).
    MusicAvqa,
    /// HME-QA (JSON).
    HmeQa,
}

/// Which recordings count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Half {
    /// Every one.
    All,
    /// The half for experiments.
    Dev,
    /// The half that is kept for the end.
    HeldOut,
}

/// Questions about recordings, and where the recordings are.
#[derive(Clone, Debug, Args)]
pub struct QuestionArgs {
    /// The questions.
    #[arg(long, value_name = "FILE")]
    pub questions: PathBuf,

    /// Their format.
    #[arg(long, value_enum, default_value_t = Questions::Jsonl)]
    pub layout: Questions,

    /// A folder of feature files (.h5) or plans (.jsonl), named as the videos of the questions.
    #[arg(long, value_name = "DIR")]
    pub features: PathBuf,

    /// The folder of the recordings.
    #[arg(long, value_name = "DIR")]
    pub videos: PathBuf,

    /// Which recordings count; --half-seed decides the halves.
    #[arg(long, value_enum, default_value_t = Half::All)]
    pub half: Half,

    /// Seed of the halves.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub half_seed: u64,

    /// Ask only this many questions, from the first.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// `earmark fit-localizer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each frame of a question is shown to the model alone; a frame with which the model answers right counts as one that shows the answer. A small
network learns from that to tell such frames by their stored features, the question and the sound (SeViLA's reverse chain). A quarter of the
recordings is kept to say whether it chooses better than matched; where it doesn't, it says so, and localizer-head chooses as matched does.
Stop and start it as you like: answers are kept in --calls. It needs earmark-learning (`make learning`).

Examples:
  earmark fit-localizer --questions train.jsonl --features features/ --videos videos/ --endpoint http://127.0.0.1:8080/v1 --model MODEL \\
      --output localizer.safetensors
  earmark eval qa --questions test.jsonl --features features/ --videos videos/ --localizer-head localizer.safetensors \\
      --endpoint http://127.0.0.1:8080/v1 --model MODEL")]
pub struct FitLocalizer {
    /// The questions to learn from.
    #[command(flatten)]
    pub asked: QuestionArgs,

    /// Where the head goes; its card goes beside it, with the ending json.
    #[arg(long, value_name = "HEAD.safetensors")]
    pub output: PathBuf,

    /// Replace the head if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// How the model is asked about one frame.
    #[arg(long, value_name = "NAME|FILE", default_value = "plain")]
    pub prompt: String,

    /// Tier of the frames that the model answers from.
    #[arg(long, value_name = "low|base|high", default_value = "high")]
    pub tier: Tier,

    /// Width of the network's hidden layer, 1..=4096.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub hidden: u32,

    /// Rounds of training, 1..=10000.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: u32,

    /// How to choose frames; --localizer-calls says how many of a question are shown, --seed decides what is random.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// The server.
    #[command(flatten)]
    pub server: ModelArgs,
}

/// `earmark eval qa`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every way of choosing frames is paired with every prompt, tier and number of tokens; the first of each is what the others are compared with.
Frames cost exactly the same in every row of the same tokens and tier. Stop and start it as you like: answers are kept in --calls.

Examples:
  earmark eval qa --questions made.jsonl --features plans/ --videos videos/ --endpoint http://127.0.0.1:8080/v1 --model MODEL
  earmark eval qa --questions val.csv.gz --layout nextqa --features features/ --videos videos/ --sampling uniform,anchors,matched \\
      --prompt plain,sound --tokens 3136,25088 --endpoint http://127.0.0.1:8080/v1 --model MODEL --json")]
pub struct EvalQa {
    /// The questions.
    #[command(flatten)]
    pub asked: QuestionArgs,

    /// How to choose frames; several separated by commas [default: all; image-text and localizer-head where their models are given].
    #[arg(long, value_enum, value_delimiter = ',')]
    pub sampling: Vec<Sampling>,

    /// How to ask the questions; several separated by commas.
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',', default_values_t = ["plain".to_owned(), "sound".to_owned(), "contrastive".to_owned()])]
    pub prompt: Vec<String>,

    /// Tokens to spend on the frames of an answer; several separated by commas [default: four frames].
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub tokens: Vec<Tokens>,

    /// Tier of the frames; several separated by commas.
    #[arg(long, value_name = "low|base|high", value_delimiter = ',', default_values_t = [Tier::High])]
    pub tier: Vec<Tier>,

    /// Also write every answer with its evidence, one JSON object per line.
    #[arg(long, value_name = "FILE.jsonl")]
    pub answers: Option<PathBuf>,

    /// How to choose and show frames.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// The server.
    #[command(flatten)]
    pub server: ModelArgs,
}

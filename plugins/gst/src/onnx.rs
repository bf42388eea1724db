//! ONNX Runtime: the one file that names `ort`. Encoders and taggers, ready to run; what runs them is in `provider` beside it.

mod provider;
mod telemetry;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anchoring::cue::{TOP, Tag};
use anchoring::mel::RATE;
use anchoring::tier::Tier;
use ort::environment::Environment;
use ort::ep;
use ort::session::Session;
use ort::value::{TensorElementType, TensorRef, ValueType};

pub use provider::{Place, Provider, providers};
pub use telemetry::forbid as forbid_telemetry;

use crate::models::{Layout, Manifest, Memory, ModelError, TierSpec, search_dirs};

/// The process's one environment, and the library it runs on; ONNX Runtime allows no second, even after the first is gone.
static ENVIRONMENT: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

/// Where `libonnxruntime.so` is: `ORT_DYLIB_PATH`, else `built/` of a folder with manifests, else `lib/earmark/` of the PREFIX whose
/// `share/earmark/models` it is.
///
/// # Errors
/// In none of these.
pub fn runtime_path() -> Result<PathBuf, ModelError> {
    library_in(&search_dirs())
}

/// The library, looked for from these folders with manifests.
fn library_in(dirs: &[PathBuf]) -> Result<PathBuf, ModelError> {
    let name = format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(ModelError::Runtime(format!(
                "ORT_DYLIB_PATH is {}, but there is no such file",
                path.display()
            )))
        };
    }
    let mut tried = Vec::new();
    for dir in dirs {
        tried.push(dir.join("built").join(&name));
        if let Some(prefix) = dir.ancestors().nth(3) {
            tried.push(prefix.join("lib/earmark").join(&name));
        }
    }
    tried
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| {
            let places: Vec<String> = tried
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            ModelError::Runtime(match places.is_empty() {
                true => format!(
                    "there is no folder in which to look for {name} (EARMARK_MODELS names one)"
                ),
                false => format!("there is no {}", places.join(", no ")),
            })
        })
}

/// The version of the ONNX Runtime that is loaded, loading it if need be: `1.31.1`, or what its build is called if it doesn't say.
///
/// # Errors
/// It cannot be loaded.
pub fn runtime_version() -> Result<String, ModelError> {
    let (_, library) = environment(None)?;
    // `ort` doesn't pass the version on, but the library's exported symbols bear it, and their names come early in the file.
    let mut start = Vec::new();
    File::open(library)
        .and_then(|file| file.take(1 << 20).read_to_end(&mut start))
        .map_err(|err| ModelError::Runtime(err.to_string()))?;
    Ok(symbol_version(&start)
        .unwrap_or_else(|| ort::info().trim_start_matches("ORT Build Info: ").into()))
}

/// `1.31.1` out of `VERS_1.31.1`.
fn symbol_version(bytes: &[u8]) -> Option<String> {
    let tag = b"VERS_";
    let at = bytes.windows(tag.len()).position(|some| some == tag)? + tag.len();
    let version: String = bytes[at..]
        .iter()
        .map(|byte| char::from(*byte))
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    (!version.is_empty()).then_some(version)
}

/// The environment; the first time, the library is looked for beside `manifest` too.
fn environment(manifest: Option<&Path>) -> Result<(Environment, PathBuf), ModelError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ready) = slot.as_ref() {
        return Ok(ready.clone());
    }
    let mut dirs = search_dirs();
    dirs.extend(manifest.and_then(Path::parent).map(Path::to_path_buf));
    let library = library_in(&dirs)?;
    // What a program did to its environment since the plugin was loaded doesn't count.
    forbid_telemetry();
    let environment = ort::init_from(&library)
        .map_err(|err| ModelError::Runtime(err.to_string()))?
        .with_name("earmark")
        .with_telemetry(false)
        .build()
        .map_err(|err| ModelError::Runtime(err.to_string()))?;
    Ok(slot.insert((environment, library)).clone())
}

/// Sessions that wait for the next recording, the one used last at the end.
static IDLE: Mutex<Idle> = Mutex::new(Idle {
    most: 0,
    sessions: Vec::new(),
});

struct Idle {
    most: usize,
    sessions: Vec<Ready>,
}

/// What makes two sessions the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    file: PathBuf,
    sha256: String,
    threads: usize,
    place: Place,
    /// [`spare_memory`] as it was then.
    spare: bool,
    /// Input and output, checked when the session was made.
    ends: (String, String, usize),
}

/// From now on, up to `most` sessions that nobody uses are kept for whoever loads the same model next; 0, as in the beginning,
/// keeps none. For programs that play one recording after the other.
pub fn keep_sessions(most: usize) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    idle.most = most;
    let over = idle.sessions.len().saturating_sub(most);
    idle.sessions.drain(..over);
}

/// Whether sessions on the processor give back, after every run, what it took.
static SPARE: AtomicBool = AtomicBool::new(false);

/// Whether models that are loaded from now on give back, after every run, the memory that it took. That costs a third of the time with
/// pictures of 448 pixels, and spares 15 to 30 MB.
pub fn spare_memory(yes: bool) {
    SPARE.store(yes, Ordering::Relaxed);
}

/// A session that can run.
struct Ready {
    key: Key,
    session: Session,
    /// Why it runs on the processor, if it was to run elsewhere.
    instead: Option<String>,
}

/// A session in use; dropped, it is kept if sessions are.
struct Loan(Option<Ready>);

impl Loan {
    /// One that was kept.
    fn kept(key: &Key) -> Option<Self> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.sessions.iter().position(|ready| ready.key == *key)?;
        Some(Self(Some(idle.sessions.remove(at))))
    }

    /// The session; gone only while it is being given back.
    fn session(&mut self, name: &str) -> Result<&mut Session, ModelError> {
        let ready = self.0.as_mut().map(|ready| &mut ready.session);
        ready.ok_or_else(|| ModelError::Run {
            name: name.into(),
            message: "its session is gone".into(),
        })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = self.0.take().filter(|_| idle.most > 0) {
            if idle.sessions.len() >= idle.most {
                idle.sessions.remove(0);
            }
            idle.sessions.push(ready);
        }
    }
}

/// A session whose input and output are those of the manifest.
struct Model {
    loan: Loan,
    manifest: Manifest,
}

impl Model {
    fn new(manifest: Manifest, threads: usize, place: Place) -> Result<Self, ModelError> {
        let (environment, _) = environment(Some(&manifest.path))?;
        let file = manifest.onnx_path();
        let key = Key {
            file: file.clone(),
            sha256: manifest.sha256.clone(),
            threads: threads.max(1),
            place,
            spare: SPARE.load(Ordering::Relaxed),
            ends: (
                manifest.input.name.clone(),
                manifest.output.name.clone(),
                manifest.output.dim,
            ),
        };
        if let Some(loan) = Loan::kept(&key) {
            return Ok(Self { loan, manifest });
        }
        let load = |err: String| ModelError::Load {
            name: manifest.name.clone(),
            message: err,
        };
        let begin = |place: Place| open(&environment, &file, threads, place, key.spare);
        let (session, instead) = match begin(place) {
            Err(why) if place.provider != Provider::Cpu => (begin(Place::default()), Some(why)),
            opened => (opened, None),
        };
        let session = session.map_err(load)?;
        let inputs: Vec<_> = session.inputs().iter().map(|input| input.name()).collect();
        let mut wanted = vec![manifest.input.name.as_str()];
        if let Some(memory) = &manifest.memory {
            wanted.extend([memory.input.as_str(), memory.rate.as_str()]);
        }
        if inputs.len() != wanted.len() || !wanted.iter().all(|name| inputs.contains(name)) {
            return Err(load(format!(
                "its inputs are {inputs:?}, but the manifest says they are {wanted:?} (input.name is {:?})",
                manifest.input.name
            )));
        }
        let outputs: Vec<_> = session
            .outputs()
            .iter()
            .map(|output| output.name())
            .collect();
        let output = session
            .outputs()
            .iter()
            .find(|output| output.name() == manifest.output.name);
        match output.map(|output| output.dtype()) {
            None => {
                return Err(load(format!(
                    "its outputs are {outputs:?}, but the manifest says output.name is {:?}",
                    manifest.output.name
                )));
            }
            Some(ValueType::Tensor {
                ty: TensorElementType::Float32,
                shape,
                ..
            }) => {
                let width = shape.last().copied().unwrap_or(-1);
                if width >= 0 && width as usize != manifest.output.dim {
                    return Err(load(format!(
                        "its output {:?} has {width} numbers, but the manifest says output.dim is {}",
                        manifest.output.name, manifest.output.dim
                    )));
                }
            }
            Some(other) => {
                return Err(load(format!(
                    "its output is {other}, but must be f32 [N, dim]"
                )));
            }
        }
        Ok(Self {
            loan: Loan(Some(Ready {
                key,
                session,
                instead,
            })),
            manifest,
        })
    }

    /// What runs it.
    fn place(&self) -> Place {
        match &self.loan.0 {
            Some(ready) if ready.instead.is_none() => ready.key.place,
            _ => Place::default(),
        }
    }

    /// Runs `n` items and hands the `[n, dim]` output to `take`.
    fn run<T>(
        &mut self,
        shape: &[usize],
        data: &[f32],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let name = &self.manifest.name;
        let fail = |message: String| ModelError::Run {
            name: name.clone(),
            message,
        };
        let wanted = shape.first().copied().unwrap_or(0) * self.manifest.output.dim;
        let input = TensorRef::from_array_view((shape.to_vec(), data))
            .map_err(|err| fail(err.to_string()))?;
        let session = self.loan.session(name)?;
        let outputs = session
            .run(ort::inputs![self.manifest.input.name.as_str() => input])
            .map_err(|err| fail(err.to_string()))?;
        let (shape, numbers) = outputs[self.manifest.output.name.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|err| fail(err.to_string()))?;
        if numbers.len() != wanted {
            return Err(fail(format!(
                "it gave {shape:?}, but {wanted} numbers were expected (output.dim is {})",
                self.manifest.output.dim
            )));
        }
        Ok(take(numbers))
    }
}

/// A session that runs a file's model at a place.
fn open(
    environment: &Environment,
    file: &Path,
    threads: usize,
    place: Place,
    spare: bool,
) -> Result<Session, String> {
    let cpu = || ep::CPU::default().with_arena_allocator(!spare).build();
    let provider = place.dispatch()?.unwrap_or_else(cpu);
    // Spinning threads burn the cores that decode. The arena keeps the largest batch's memory, which is bounded; without it
    // every batch faults its pages in again (a third of the time at 448 px), which only pays where memory is dear.
    Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(threads.max(1))?))
        .and_then(|builder| Ok(builder.with_inter_threads(1)?))
        .and_then(|builder| Ok(builder.with_intra_op_spinning(false)?))
        .and_then(|builder| Ok(builder.with_memory_pattern(false)?))
        .and_then(|builder| Ok(builder.with_execution_providers([provider])?))
        .and_then(|mut builder| builder.commit_from_file(file))
        .map_err(|err| err.to_string())
}

/// Picture -> embedding.
pub struct Encoder(Model);

impl Encoder {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen, to run at `place`, or on the processor where that
    /// cannot be. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(manifest: Manifest, threads: usize, place: Place) -> Result<Self, ModelError> {
        Model::new(manifest, threads, place).map(Self)
    }
    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// What runs it.
    pub fn place(&self) -> Place {
        self.0.place()
    }
    /// Why the processor runs it, if something else was to.
    pub fn instead(&self) -> Option<&str> {
        self.0.loan.0.as_ref()?.instead.as_deref()
    }
    /// Numbers per picture.
    pub fn dim(&self) -> usize {
        self.0.manifest.output.dim
    }
    /// Side and price of a tier; encoders have all three.
    pub fn tier(&self, tier: Tier) -> Option<TierSpec> {
        self.0.manifest.tiers.map(|tiers| tiers.of(tier))
    }
    /// Encodes `n` square pictures of side `px` in the model's own layout, `[n, 3, px, px]` or `[n, px, px, 3]`, normalised. `take`
    /// gets the embeddings, row-major `[n, dim]`.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn encode<T>(
        &mut self,
        n: usize,
        px: usize,
        pictures: &[f32],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let shape = match self.0.manifest.input.layout {
            Layout::Nhwc => [n, px, px, 3],
            Layout::Nchw | Layout::Nctf | Layout::Nt => [n, 3, px, px],
        };
        self.0.run(&shape, pictures, take)
    }
}

/// Sound -> class probabilities.
pub struct Tagger {
    model: Model,
    labels: Vec<String>,
}

impl Tagger {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen. `labels`: one a class. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(
        manifest: Manifest,
        labels: Vec<String>,
        threads: usize,
    ) -> Result<Self, ModelError> {
        let model = Model::new(manifest, threads, Place::default())?;
        Ok(Self { model, labels })
    }
    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }
    /// The class names, by class.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }
    /// All class probabilities of one patch, row-major `[96, 64]` log mel.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn scores(&mut self, log_mel: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.all_scores(1, log_mel)
    }
    /// The five likeliest classes of one patch, likeliest first, and the probability of speech (the likeliest of the speech
    /// classes). A class whose probability is no number counts as 0.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn tag(&mut self, log_mel: &[f32]) -> Result<(Vec<Tag>, f32), ModelError> {
        let scores = self.scores(log_mel)?;
        Ok(self.named(&scores))
    }

    /// Whether it takes several patches at once: the first axis of its input is free.
    pub fn takes_many(&mut self) -> bool {
        let Model { loan, manifest } = &mut self.model;
        let Ok(session) = loan.session(&manifest.name) else {
            return false;
        };
        let mut inputs = session.inputs().iter();
        let input = inputs.find(|input| input.name() == manifest.input.name);
        match input.map(|input| input.dtype()) {
            Some(ValueType::Tensor { shape, .. }) => shape.first().is_some_and(|&n| n < 0),
            _ => false,
        }
    }

    /// The same of each of `n` patches, at once: `[n, 96, 64]`.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn tag_all(
        &mut self,
        n: usize,
        log_mels: &[f32],
    ) -> Result<Vec<(Vec<Tag>, f32)>, ModelError> {
        let scores = self.all_scores(n, log_mels)?;
        let patches = scores.chunks_exact(self.manifest().output.dim.max(1));
        Ok(patches.map(|one| self.named(one)).collect())
    }

    fn all_scores(&mut self, n: usize, log_mels: &[f32]) -> Result<Vec<f32>, ModelError> {
        let input = &self.model.manifest.input;
        let shape = [n, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
        self.model.run(&shape, log_mels, <[f32]>::to_vec)
    }

    /// One patch's likeliest classes and probability of speech.
    fn named(&self, scores: &[f32]) -> (Vec<Tag>, f32) {
        (
            top(scores),
            speech(scores, &self.model.manifest.speech_classes),
        )
    }

    /// The embedding of one patch, row-major `[96, 64]` log mel, as [`Output::embedding`](crate::models::Output) names it.
    ///
    /// # Errors
    /// The manifest names none, the model fails or gives another shape.
    pub fn embed(&mut self, log_mel: &[f32]) -> Result<Vec<f32>, ModelError> {
        let Manifest {
            name,
            input,
            output,
            ..
        } = &self.model.manifest;
        let fail = |message: String| ModelError::Run {
            name: name.clone(),
            message,
        };
        let embedding = output
            .embedding
            .as_deref()
            .ok_or_else(|| fail("its manifest names no output.embedding".into()))?;
        let shape = [1, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
        let tensor =
            TensorRef::from_array_view((shape, log_mel)).map_err(|err| fail(err.to_string()))?;
        let session = self.model.loan.session(name)?;
        let outputs = session
            .run(ort::inputs![input.name.as_str() => tensor])
            .map_err(|err| fail(err.to_string()))?;
        let (_, numbers) = outputs
            .get(embedding)
            .ok_or_else(|| fail(format!("it has no output {embedding:?}")))?
            .try_extract_tensor::<f32>()
            .map_err(|err| fail(err.to_string()))?;
        Ok(numbers.to_vec())
    }
}

/// Sound -> embedding.
pub struct Embedder(Model);

impl Embedder {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(manifest: Manifest, threads: usize) -> Result<Self, ModelError> {
        Model::new(manifest, threads, Place::default()).map(Self)
    }
    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// The embedding of one patch: of its log mel, row-major `[96, 64]`, or of its samples, as the manifest's layout says.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn embed(&mut self, log_mel: &[f32], samples: &[f32]) -> Result<Vec<f32>, ModelError> {
        let input = &self.0.manifest.input;
        match input.layout {
            Layout::Nt => self.0.run(&[1, samples.len()], samples, <[f32]>::to_vec),
            _ => {
                let shape = [1, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
                self.0.run(&shape, log_mel, <[f32]>::to_vec)
            }
        }
    }
}

/// Sound -> how likely somebody speaks, chunk by chunk; it remembers.
pub struct Voice {
    model: Model,
    memory: Memory,
    state: Vec<f32>,
    /// The last samples of the chunk before, and the chunk.
    samples: Vec<f32>,
}

impl Voice {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(manifest: Manifest) -> Result<Self, ModelError> {
        let mut model = Model::new(manifest, 1, Place::default())?;
        let Some(memory) = model.manifest.memory.clone() else {
            return Err(ModelError::Load {
                name: model.manifest.name,
                message: "its manifest says nothing of its memory".into(),
            });
        };
        let outputs = model.loan.session(&model.manifest.name)?.outputs();
        if !outputs.iter().any(|output| output.name() == memory.output) {
            return Err(ModelError::Load {
                name: model.manifest.name,
                message: format!("it has no output {:?}", memory.output),
            });
        }
        let mut voice = Self {
            state: Vec::new(),
            samples: Vec::new(),
            model,
            memory,
        };
        voice.reset();
        Ok(voice)
    }

    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }

    /// Forgets what it heard.
    pub fn reset(&mut self) {
        self.state = vec![0.0; self.memory.shape.iter().product()];
        self.samples = vec![0.0; self.memory.context];
    }

    /// How likely somebody speaks in the next chunk of 512 samples, in -1..=1.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn hear(&mut self, chunk: &[f32]) -> Result<f32, ModelError> {
        let Manifest {
            name,
            input,
            output,
            ..
        } = &self.model.manifest;
        let fail = |message: String| ModelError::Run {
            name: name.clone(),
            message,
        };
        let broken = |err: ort::Error| fail(err.to_string());
        let spare = self.samples.len().saturating_sub(self.memory.context);
        self.samples.drain(..spare);
        self.samples.extend_from_slice(chunk);
        let shape = [1, self.samples.len()];
        let sound = TensorRef::from_array_view((shape, self.samples.as_slice())).map_err(broken)?;
        let state = TensorRef::from_array_view((self.memory.shape, self.state.as_slice()))
            .map_err(broken)?;
        let rate = [i64::from(RATE)];
        let rate = TensorRef::from_array_view(([0usize; 0], rate.as_slice())).map_err(broken)?;
        let session = self.model.loan.session(name)?;
        let outputs = session
            .run(ort::inputs![
                input.name.as_str() => sound,
                self.memory.input.as_str() => state,
                self.memory.rate.as_str() => rate,
            ])
            .map_err(broken)?;
        let numbers = |name: &str| {
            let (_, numbers) = outputs[name].try_extract_tensor::<f32>().map_err(broken)?;
            Ok::<_, ModelError>(numbers.to_vec())
        };
        let p = numbers(&output.name)?;
        let next = numbers(&self.memory.output)?;
        drop(outputs);
        match p.as_slice() {
            &[p] if next.len() == self.state.len() => {
                self.state = next;
                Ok(probability(p))
            }
            _ => Err(fail(format!(
                "it gave {} probabilities and a state of {} numbers, but one and {} were expected",
                p.len(),
                next.len(),
                self.state.len()
            ))),
        }
    }
}

fn probability(score: f32) -> f32 {
    if score.is_nan() {
        0.0
    } else {
        score.clamp(0.0, 1.0)
    }
}

/// The likeliest classes, likeliest first; of two alike, the first.
fn top(scores: &[f32]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(TOP + 1);
    for (class_id, score) in scores.iter().enumerate().take(usize::from(u16::MAX)) {
        let p = probability(*score);
        let place = tags.partition_point(|tag| tag.p >= p);
        if place < TOP {
            tags.insert(
                place,
                Tag {
                    class_id: class_id as u16,
                    p,
                },
            );
            tags.truncate(TOP);
        }
    }
    tags
}

fn speech(scores: &[f32], classes: &[usize]) -> f32 {
    classes
        .iter()
        .filter_map(|class| scores.get(*class))
        .map(|score| probability(*score))
        .fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_likeliest_classes_come_likeliest_first() {
        let scores = [0.1, 0.9, f32::NAN, 0.3, 0.3, 0.2, 0.05, 2.0];
        let ids: Vec<u16> = top(&scores).iter().map(|tag| tag.class_id).collect();
        assert_eq!(ids, [7, 1, 3, 4, 5]);
        assert_eq!(top(&scores)[0].p, 1.0);
        assert_eq!(top(&[0.5]).len(), 1);
    }

    #[test]
    fn the_version_is_read_off_the_symbols() {
        assert_eq!(
            symbol_version(b"\0libonnxruntime.so.1\0VERS_1.31.1\0x").as_deref(),
            Some("1.31.1")
        );
        assert_eq!(symbol_version(b"\0VERS_"), None);
    }

    #[test]
    fn speech_is_the_likeliest_speech_class() {
        assert_eq!(speech(&[0.1, 0.9, 0.4], &[0, 2, 9]), 0.4);
        assert_eq!(speech(&[0.1], &[]), 0.0);
    }
}

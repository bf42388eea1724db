//! A little of the published formats that Earmark reads, made up here: questions, moments, labels of videos, arrays, answers of servers,
//! tokenizers; and a localizer head.

pub(super) const QUESTIONS: &str = r#"{"video":"P01","question":"What broke?","answer":"a glass","options":["a pan","a glass"],"type":"sound","start_s":1.5,"stop_s":2}
{"id":"b","video":"P02","question":"When?","answer":"soon"}
"#;

/// STAR, AVQA, EgoSchema (its answers lie beside it, so that they can only be missing), MUSIC-AVQA, HME-QA.
pub(super) const SETS: [&str; 5] = [
    r#"[{"question_id":"Sequence_T1_1","video_id":"6H","start":1.5,"end":9,"question":"What?","answer":"The box.","choices":[{"choice_id":0,"choice":"The box."},{"choice_id":1,"choice":"The cup."}]}]"#,
    r#"[{"id":1,"video_name":"-H","video_id":2,"question_text":"What?","multi_choice":["a","b"],"answer":1,"question_relation":"Both","question_type":"Which"}]"#,
    r#"[{"q_uid":"u1","question":"What?","option 0":"a","option 1":"b"}]"#,
    r#"[{"video_id":"a","question_id":7,"type":"[\"Audio\"]","question_content":"Is the <Object> loud?","templ_values":"[\"flute\"]","anser":"yes","question_deleted":0}]"#,
    r#"[{"video_uid":"b","memory_qa_pairs":[{"question":"Where?","answer":"There.","start_time_sec":5.0,"end_time_sec":6.5}]}]"#,
];

pub(super) const NEXTQA: &str = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n123,1500,640,360,why did it ring,1,3,CW,it fell,\"hit, hard\",it broke,wind,no\n";

/// Labels, and a submission.
pub(super) const MOMENTS: [&str; 2] = [
    "{\"qid\":1,\"query\":\"a dog\",\"duration\":150,\"vid\":\"v_60.0_210.0\",\"relevant_windows\":[[10,20],[40,44]],\"relevant_clip_ids\":[5,6,7],\"saliency_scores\":[[4,3,2],[1,2,3],[4,4,4]]}\n",
    "{\"qid\":1,\"query\":\"a dog\",\"vid\":\"v_60.0_210.0\",\"pred_relevant_windows\":[[10.5,20,0.9],[40,44,0.1]],\"pred_saliency_scores\":[0.5,-1.25,3]}\n",
];

/// LLP's weak and dense labels, AVE's annotations.
pub(super) const LABELS: [&str; 3] = [
    "filename\tevent_labels\nabcdefghijk_10_20\tSpeech,Car\n-bcdefghijk_0_10\tDog\n",
    "filename\tevent_labels\tonset\toffset\nabcdefghijk_10_20\tSpeech\t0\t4\nabcdefghijk_10_20\tCar\t3\t10\n",
    "Category&VideoID&Quality&StartTime&EndTime\nChurch bell&RUhOCu3LNXM&good&0&10\nDog&abcdefghijk&good&3&7\n",
];

/// An array of ten rows of two numbers, as NumPy writes it.
pub(super) fn npy() -> Vec<u8> {
    let head = "{'descr': '<f4', 'fortran_order': False, 'shape': (10, 2), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{head:<117}\n").into_bytes());
    bytes.extend((0..20_u8).flat_map(|x| f32::from(x).to_le_bytes()));
    bytes
}

/// A server's answer, and the same as it is kept.
pub(super) fn answers() -> Vec<Vec<u8>> {
    let answer = r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"<think>no</think> Option B, frame 2"},"logprobs":{"content":[{"token":" B","logprob":-0.25,"top_logprobs":[{"token":" B","logprob":-0.25},{"token":"A","logprob":-2.5}]}]}}],"usage":{"prompt_tokens":420,"completion_tokens":3}}"#;
    let hash = "a".repeat(64);
    let kept = format!(
        r#"{{"schema":"earmark-call/1","request_sha256":"{hash}","url":"http://127.0.0.1:1/v1","model":"m","took_ms":1.5,"answer":{answer}}}"#
    );
    vec![answer.into(), kept.into()]
}

/// Whole words and pieces of them, as BERT has them; and pairs of bytes, as CLIP has them.
pub(super) const TOKENIZERS: [&str; 2] = [
    r###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":1,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},{"id":2,"content":"[CLS]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},{"id":3,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}}],"pair":[],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"water":4,"tap":5,"##s":6,"dog":7,",":8}}}"###,
    r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},{"type":"Lowercase"}]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":{"type":"RobertaProcessing","sep":["b",1],"cls":["a",0],"trim_offsets":false,"add_prefix_space":false},"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true},"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":"","end_of_word_suffix":"","fuse_unk":false,"vocab":{"a":0,"b":1,"w":2,"t":3,"e":4,"r":5,"d":6,"o":7,"g":8,"wa":9,"te":10,"do":11},"merges":["w a","t e","d o"]}}"#,
];

/// A localizer head of two hidden units for features of one number.
pub(super) fn head() -> Vec<u8> {
    const VALUES: usize = 1 + 64 + 6;
    let note = r#"{"localizer":{"layout":"earmark-localizer/1","dim":1,"encoder":"","text_encoder":"","question":64,"helps":true}}"#;
    let shapes = [
        ("in.w", VALUES, 2),
        ("in.b", 1, 2),
        ("out.w", 2, 2),
        ("out.b", 1, 2),
        ("input.mean", 1, VALUES),
        ("input.scale", 1, VALUES),
    ];
    let (mut parts, mut end) = (Vec::new(), 0);
    for (name, rows, columns) in shapes {
        let from = end;
        end += 4 * rows * columns;
        parts.push(format!(
            r#""{name}":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[{from},{end}]}}"#
        ));
    }
    let text = format!(
        r#"{{"__metadata__":{{"earmark":"{}"}},{}}}"#,
        note.replace('"', "\\\""),
        parts.join(",")
    );
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.into_bytes());
    bytes.extend((0..end / 4).flat_map(|at| (at as f32 / 64.0).to_le_bytes()));
    bytes
}

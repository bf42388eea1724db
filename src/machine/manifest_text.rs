//! Parts of a manifest's text: quoted strings, and paths as seen from the model's folder.

use std::path::Path;

use serde_json::Value;

/// A string in quotes, as YAML and JSON both read it.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The path of a file as a manifest beside the model names it: relative if the file lies in the model's folder, else absolute.
pub(super) fn beside_model(model: &Path, file: &Path) -> std::io::Result<String> {
    let folder = model
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
    let file = file.canonicalize()?;
    Ok(file
        .strip_prefix(&folder)
        .unwrap_or(&file)
        .to_string_lossy()
        .into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_the_model_have_short_names() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let model = place("models/m.onnx");
        let inside = place("models/words/tokenizer.json");
        let outside = place("other/classes.csv");
        assert_eq!(
            beside_model(&model, &inside).unwrap(),
            "words/tokenizer.json"
        );
        let absolute = beside_model(&model, &outside).unwrap();
        assert!(Path::new(&absolute).is_absolute() && absolute.ends_with("other/classes.csv"));
        assert!(beside_model(&model, &folder.path().join("none")).is_err());
        assert_eq!(quoted("a \"b\""), r#""a \"b\"""#);
    }
}

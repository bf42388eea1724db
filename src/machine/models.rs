//! Lists the models that pipelines can name, and checks them against their manifests.

use serde_json::{Value, json};

/// All models found.
pub(crate) struct Listing {
    /// One line per model.
    pub text: String,
    /// One JSON object per model.
    pub rows: Vec<Value>,
    /// Number of unusable models.
    pub bad: usize,
}

/// Lists the models in all search folders. With `check`, files are hashed as well.
pub(crate) fn list(check: bool) -> Listing {
    let listed = gstearmark::models::list();
    let mut bad = 0;
    let mut rows = Vec::new();
    let mut text = String::new();
    for listed in &listed {
        let name = listed
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let file = listed.path.display().to_string();
        match &listed.manifest {
            Err(e) => {
                bad += 1;
                text.push_str(&format!("{name:<22} broken   {e}\n"));
                rows.push(
                    json!({ "name": name, "manifest": file, "ok": false, "error": e.to_string() }),
                );
            }
            Ok(manifest) => {
                let state = if check {
                    manifest.check().map(|()| "ok")
                } else {
                    Ok(if manifest.onnx_path().is_file() {
                        "there"
                    } else {
                        "missing"
                    })
                };
                let (ok, word) = match &state {
                    Ok(word) => (true, *word),
                    Err(_) => (false, "bad"),
                };
                bad += usize::from(!ok);
                let source = &manifest.source;
                text.push_str(&format!(
                    "{:<22} {:<8} {word:<8} {} {}, {}\n",
                    manifest.name,
                    manifest.kind.to_string(),
                    source.package,
                    source.version,
                    source.licence
                ));
                if let Err(e) = &state {
                    text.push_str(&format!("    {e}\n"));
                }
                rows.push(json!({
                    "name": manifest.name, "kind": manifest.kind, "manifest": file, "file": manifest.onnx_path(), "sha256": manifest.sha256,
                    "licence": source.licence, "package": source.package, "version": source.version, "ok": ok && word != "missing",
                    "error": state.as_ref().err().map(ToString::to_string),
                }));
            }
        }
    }
    if listed.is_empty() {
        let dirs: Vec<_> = gstearmark::models::search_dirs()
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        text = format!(
            "no models in {}; run `make setup`, or set EARMARK_MODELS to their folder\n",
            if dirs.is_empty() {
                "any folder".into()
            } else {
                dirs.join(", ")
            }
        );
        bad += usize::from(check);
    }
    Listing { text, rows, bad }
}

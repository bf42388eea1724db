//! Floating-point operations of an encoder: encodes one grey frame with ONNX Runtime's profile on, and counts from the sizes that every
//! convolution and matrix product had. So they hold for any graph that runs, whatever sizes its file leaves open.

use std::path::Path;

use serde_json::Value;

use super::runtime::environment;
use super::{GraphOptimizationLevel, Session, TensorRef, inputs, ports};
use crate::models::{Layout, Manifest, ModelError};

/// Operations to encode one frame of side `px`: a multiplication and an addition for each weight of a convolution or matrix product, for
/// each of its outputs. `None` for a model without any, or with kinds that are not known here.
///
/// # Errors
/// ONNX Runtime or the model cannot be loaded, or the model fails.
pub fn flops(manifest: &Manifest, px: usize) -> Result<Option<u64>, ModelError> {
    let (environment, _) = environment(Some(&manifest.path))?;
    let fail = |message: String| ModelError::Run {
        name: manifest.name.clone(),
        message,
    };
    let folder = tempfile::tempdir().map_err(|err| fail(err.to_string()))?;
    // As the file has it: an optimised graph has kinds of its own.
    let mut session = Session::builder(&environment)
        .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Disable)?))
        // Weights that were packed beforehand are missing among a node's inputs.
        .and_then(|builder| Ok(builder.with_prepacking(false)?))
        .and_then(|builder| Ok(builder.with_intra_threads(1)?))
        .and_then(|builder| Ok(builder.with_profiling(folder.path().join("profile"))?))
        .and_then(|mut builder| builder.commit_from_file(manifest.onnx_path()))
        .map_err(|err| ModelError::Load {
            name: manifest.name.clone(),
            message: err.to_string(),
        })?;
    let batch = ports::fixed_batch(manifest, &ports::of(&session)).unwrap_or(1);
    let shape = match manifest.input.layout {
        Layout::Nhwc => [batch, px, px, 3],
        _ => [batch, 3, px, px],
    };
    let grey = vec![0.0_f32; shape.iter().product()];
    let tensor = TensorRef::from_array_view((shape, grey.as_slice()))
        .map_err(|err| fail(err.to_string()))?;
    let name = manifest.input.name.as_str();
    session
        .run(inputs![name => tensor])
        .map_err(|err| fail(err.to_string()))?;
    let file = session
        .end_profiling()
        .map_err(|err| fail(err.to_string()))?;
    let text = std::fs::read(Path::new(&file)).map_err(|err| fail(err.to_string()))?;
    let profile: Vec<Value> =
        serde_json::from_slice(&text).map_err(|err| fail(format!("its profile: {err}")))?;
    Ok(count(&profile).map(|all| all / batch as u64))
}

/// The sizes of a node's inputs or outputs.
fn sizes(of: &Value) -> Vec<Vec<u64>> {
    let one = |tensor: &Value| {
        let sizes = tensor.as_object().and_then(|types| types.values().next());
        let sizes = sizes.and_then(Value::as_array);
        sizes.map_or_else(Vec::new, |sizes| {
            sizes.iter().filter_map(Value::as_u64).collect()
        })
    };
    of.as_array()
        .map_or_else(Vec::new, |all| all.iter().map(one).collect())
}

/// The operations of all nodes of a profile; `None` if there are none.
fn count(profile: &[Value]) -> Option<u64> {
    let mut all = 0_u64;
    for event in profile {
        let args = &event["args"];
        let (read, written) = (
            sizes(&args["input_type_shape"]),
            sizes(&args["output_type_shape"]),
        );
        let ([first, second, ..], [out, ..]) = (read.as_slice(), written.as_slice()) else {
            continue;
        };
        let size = |of: &[u64]| of.iter().product::<u64>();
        all += match args["op_name"].as_str() {
            Some("Conv") => 2 * size(out) * size(second.get(1..).unwrap_or_default()),
            Some("ConvTranspose") => 2 * size(first) * size(second.get(1..).unwrap_or_default()),
            Some("MatMul") => 2 * size(out) * first.last().copied().unwrap_or(0),
            // Either matrix may be transposed: m·k times k·n over m·n is k².
            Some("Gemm") => 2 * size(out) * (size(first) * size(second) / size(out).max(1)).isqrt(),
            _ => 0,
        };
    }
    (all > 0).then_some(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::models::find;

    #[test]
    fn convolutions_and_products_are_counted_by_their_sizes() {
        let node = |op: &str, read: &[&[u64]], out: &[u64]| {
            let read: Vec<_> = read.iter().map(|sizes| json!({ "float": sizes })).collect();
            json!({ "args": { "op_name": op, "input_type_shape": read, "output_type_shape": [{ "float": out }] } })
        };
        let one = |event: Value| count(&[json!({ "args": {} }), event]);
        let conv: &[&[u64]] = &[&[1, 3, 8, 8], &[16, 3, 3, 3], &[16]];
        assert_eq!(
            one(node("Conv", conv, &[1, 16, 4, 4])),
            Some(2 * 16 * 16 * 27)
        );
        // One channel in each group.
        let deep: &[&[u64]] = &[&[1, 16, 4, 4], &[16, 1, 3, 3]];
        assert_eq!(one(node("Conv", deep, &[1, 16, 4, 4])), Some(2 * 256 * 9));
        let product: &[&[u64]] = &[&[2, 5, 7], &[7, 3]];
        assert_eq!(one(node("MatMul", product, &[2, 5, 3])), Some(2 * 30 * 7));
        let turned: &[&[u64]] = &[&[1, 1280], &[1000, 1280], &[1000]];
        assert_eq!(one(node("Gemm", turned, &[1, 1000])), Some(2 * 1000 * 1280));
        assert_eq!(one(node("Relu", &[&[4], &[4]], &[4])), None);
    }

    /// Four times the pixels, four times the work; at 224 px, 384 million multiplications in the convolutions and 1.28 in the classifier.
    #[test]
    fn the_shipped_encoder_takes_what_its_authors_say() {
        let found = find("efficientnet-lite0").ok();
        let Some(manifest) = found.filter(|model| model.onnx_path().exists()) else {
            eprintln!("skipped: efficientnet-lite0 is not installed; `make setup` does");
            return;
        };
        let of = |px| flops(&manifest, px).unwrap().unwrap() as f64;
        let base = of(224);
        assert!((base / 2e6 - 385.2).abs() < 0.1, "{base}");
        assert!((of(448) / base - 4.0).abs() < 0.05);
    }
}

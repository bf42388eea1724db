//! What has to be right before the first picture: properties, encoder, file; then the worker starts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anchoring::tier::Tier;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, FeatureSink, Started};
use super::known::Known;
use super::messages::{file_message, model_message, settings_message};
use super::prepare::Preparer;
use super::settings::Settings;
use super::trouble::Trouble;
use super::work::{Place, Work};
use super::worker::{Leaving, Worker};
use crate::h5::{self, Opening};
use crate::models::{self, Encoder, ModelError};

/// Checks everything that can be checked before the first picture, and starts the worker.
pub(super) fn begin(sink: &FeatureSink, settings: &Settings) -> Result<Started, gst::ErrorMessage> {
    if settings.location.is_empty() {
        return Err(settings_message(
            "the property location is empty: name the HDF5 file to write",
        ));
    }
    if !settings.streams.is_empty()
        && serde_json::from_str::<serde_json::Value>(&settings.streams).is_err()
    {
        return Err(settings_message("the property streams is no JSON"));
    }
    let Ok(earlier) = serde_json::from_str::<Vec<serde_json::Value>>(match &*settings.times {
        "" => "[]",
        times => times,
    }) else {
        return Err(settings_message("the property times is no JSON array"));
    };
    settings.further().map_err(|text| settings_message(&text))?;
    let location = settings.place().map_err(|text| settings_message(&text))?;
    let threads = settings.threads as usize;
    let encoder = models::load_encoder(&settings.model, threads, settings.runs_on())
        .map_err(|err| model_message(&err, ""))?;
    let mut warnings = Vec::new();
    if let Some(why) = encoder.instead() {
        let wanted = settings.runs_on();
        warnings.push(format!(
            "the encoder runs on the processor, not on {wanted}: {why}"
        ));
        gst::element_imp_warning!(sink, gst::LibraryError::Init, ("{}", warnings[0]));
    }
    gst::info!(CAT, imp = sink, "the encoder runs on {}", encoder.place());
    let tiers = encoder
        .manifest()
        .tiers
        .ok_or_else(|| settings_message("the encoder has no tiers"))?;
    let tiers = Tier::ALL.map(|tier| tiers.of(tier));
    let opening = opening(settings, &encoder).map_err(|err| model_message(&err, ""))?;
    let input = encoder.manifest().input.clone();
    let stem = location.file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.unwrap_or_default().into_owned();
    let known = Known::new(&settings.video_id, &settings.config, stem, warnings);
    let known = Arc::new(Mutex::new(known));
    let leaving = Leaving::default();
    let place = Place {
        target: location,
        overwrite: settings.overwrite,
        opening,
        flush: Duration::from_secs(settings.flush_s.into()),
    };
    let work = Work::new(
        encoder,
        place,
        tiers.map(|tier| tier.px),
        settings.batch as usize,
        earlier,
        leaving.clone(),
    )
    .map_err(|err| file_message(&err, ""))?;
    let (shared, element) = (known.clone(), sink.obj().downgrade());
    let worker = Worker::start(
        leaving,
        move |jobs| work.run(jobs, &shared),
        move |end| {
            if let Some(element) = element.upgrade() {
                element.imp().ended(&end);
            }
        },
    )
    .map_err(|err| gst::error_msg!(gst::ResourceError::Failed, ("cannot start a thread: {err}")))?;
    Ok(Started {
        worker,
        known,
        trouble: Trouble::watch(sink.obj().upcast_ref()),
        flushed: false,
        input,
        tiers,
        preparer: Preparer::default(),
        info: None,
        stream_turn: None,
        global_turn: None,
        warned_of_prices: false,
        scaling: Duration::ZERO,
        most_waiting: 0,
    })
}

fn opening(settings: &Settings, encoder: &Encoder) -> Result<Opening, ModelError> {
    let (major, minor, micro, _) = gst::version();
    Ok(Opening {
        dim: encoder.dim(),
        precision: settings.precision.into(),
        input_uri: settings.input_uri.clone(),
        input_bytes: settings.input_bytes,
        streams: settings.streams.clone(),
        models: models::used::noted(encoder.manifest(), &settings.models, &settings.tagger)?,
        thumbnails: settings.thumbnails,
        provider: encoder.place().to_string(),
        versions: BTreeMap::from([
            ("earmark".into(), env!("CARGO_PKG_VERSION").into()),
            ("gstreamer".into(), format!("{major}.{minor}.{micro}")),
            ("hdf5".into(), h5::library_version()),
            ("onnxruntime".into(), crate::onnx::runtime_version()?),
        ]),
        further: settings.further().unwrap_or_default(),
    })
}

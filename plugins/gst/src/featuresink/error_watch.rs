//! Notices errors of other elements: after one, sources still send EOS, which is then not the end of the recording.

use std::sync::{Arc, OnceLock};

use gst::glib;
use gst::prelude::*;

/// Watches the bus of an element's pipeline, beside the application.
pub(super) struct ErrorWatch {
    bus: gst::Bus,
    handler: Option<glib::SignalHandlerId>,
    first: Arc<OnceLock<String>>,
}

impl ErrorWatch {
    /// `None` outside a pipeline.
    pub(super) fn start(element: &gst::Element) -> Option<Self> {
        let mut top = element.clone().upcast::<gst::Object>();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        let bus = top.downcast::<gst::Pipeline>().ok()?.bus()?;
        let first: Arc<OnceLock<String>> = Arc::default();
        let noted = first.clone();
        // In the posting thread, so before any EOS that it sends next.
        bus.enable_sync_message_emission();
        let handler = bus.connect_sync_message(Some("error"), move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let source = message.src().map(|src| src.name().to_string());
                let text = error.error();
                let text = format!("{}: {}", source.unwrap_or_default(), text.message());
                // The first error causes the others.
                let _ = noted.set(text);
            }
        });
        Some(Self {
            bus,
            handler: Some(handler),
            first,
        })
    }

    /// The first error, in words.
    pub(super) fn first_error(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }
}

impl Drop for ErrorWatch {
    fn drop(&mut self) {
        if let Some(handler) = self.handler.take() {
            self.bus.disconnect(handler);
        }
        self.bus.disable_sync_message_emission();
    }
}

//! Errors of other elements: after one, sources send the end of the stream all the same, and it is not that of the recording.

use std::sync::{Arc, OnceLock};

use gst::glib;
use gst::prelude::*;

/// Listens to the bus of the pipeline that an element is in, beside whoever else does.
pub(super) struct ErrorWatch {
    bus: gst::Bus,
    handler: Option<glib::SignalHandlerId>,
    said: Arc<OnceLock<String>>,
}

impl ErrorWatch {
    /// `None` where there is no pipeline.
    pub(super) fn start(element: &gst::Element) -> Option<Self> {
        let mut top = element.clone().upcast::<gst::Object>();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        let bus = top.downcast::<gst::Pipeline>().ok()?.bus()?;
        let said: Arc<OnceLock<String>> = Arc::default();
        let noted = said.clone();
        // In the thread that posts, so before the end of the stream that it may send next.
        bus.enable_sync_message_emission();
        let handler = bus.connect_sync_message(Some("error"), move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                let source = message.src().map(|src| src.name().to_string());
                let text = error.error();
                let text = format!("{}: {}", source.unwrap_or_default(), text.message());
                // The first is the cause of the others.
                let _ = noted.set(text);
            }
        });
        Some(Self {
            bus,
            handler: Some(handler),
            said,
        })
    }

    /// The first error, in words.
    pub(super) fn first_error(&self) -> Option<&str> {
        self.said.get().map(String::as_str)
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

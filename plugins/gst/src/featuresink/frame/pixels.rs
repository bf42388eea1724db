//! A mapped frame -> what `prepare` takes.

use gst_video::prelude::*;

use super::planes::{Colours, Plane, Planes};
use super::prepare::Pixels;

/// The pixels of a mapped frame.
pub(in super::super) fn pixels<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
) -> Result<Pixels<'a>, gst::glib::BoolError> {
    let stride = |plane: usize| {
        let stride = frame.plane_stride().get(plane).copied();
        stride
            .and_then(|stride| usize::try_from(stride).ok())
            .unwrap_or(0)
    };
    if frame.format() == gst_video::VideoFormat::Rgb {
        return Ok(Pixels::Rgb(frame.plane_data(0)?, stride(0)));
    }
    let info = frame.info();
    let plane = |component: u32| -> Result<Plane<'a>, gst::glib::BoolError> {
        let index = info.format_info().plane()[component as usize];
        let data = frame.plane_data(index)?;
        let offset = info.format_info().poffset()[component as usize] as usize;
        Ok(Plane {
            data: data.get(offset..).unwrap_or_default(),
            stride: stride(index as usize),
            step: info.format_info().pixel_stride()[component as usize] as usize,
        })
    };
    let colorimetry = info.colorimetry();
    // The likeliest matrix of a stream that names none: standard definition has its own.
    let usual = match info.height() {
        ..=576 => (0.299, 0.114),
        _ => (0.2126, 0.0722),
    };
    let (kr, kb) = colorimetry.matrix().kr_kb().unwrap_or(usual);
    Ok(Pixels::Planes(Planes {
        width: info.width() as usize,
        height: info.height() as usize,
        y: plane(0)?,
        u: plane(1)?,
        v: plane(2)?,
        colours: Colours {
            kr: kr as f32,
            kb: kb as f32,
            full: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
        },
    }))
}

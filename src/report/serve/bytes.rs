//! A connection fed with given bytes, for the fuzz targets.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::Semaphore;

use super::files::ServedFiles;
use super::{Served, Source, router};
use crate::http::{self, HostNames};

struct ByteConnection(Vec<u8>);

impl Read for ByteConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let n = buf.remaining().min(self.0.len());
        buf.put_slice(&self.0[..n]);
        self.0.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl Write for ByteConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(in crate::report) fn answer_bytes(file: &Path, bytes: &[u8]) {
    let source = Source {
        file: file.into(),
        labels: None,
        video: Some(file.into()),
    };
    let served = Served {
        sources: vec![source],
        folder: None,
        compare: None,
        time_decoding: false,
        inside: ServedFiles::new([file]),
        pages: Semaphore::new(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    if let Ok(runtime) = runtime {
        let router = router(served, HostNames::new(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        runtime.block_on(http::converse(ByteConnection(bytes.into()), router));
    }
}

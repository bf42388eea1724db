//! Serves pages over HTTP: makes each on request, and streams the recordings.
//!
//! # Layout
//!
//! - `files`: decides which files may be served.
//! - `bytes`: a connection with given bytes, for fuzzing.

mod bytes;
mod files;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tower_http::services::ServeFile;

pub(super) use self::bytes::answer_bytes;
use self::files::ServedFiles;
use super::{Source, folder, page};
use crate::cli;
use crate::failure::Usage;
use crate::http::{self, HostNames, for_this_page_alone, only_ours};
use crate::terminal::{self, Output};

/// Pages made at the same time; each needs the memory of its file and of what is shown.
const PAGES: usize = 2;
/// Threads that read files and make pages.
const THREADS: usize = 8;

/// The files to serve.
struct Served {
    sources: Vec<Source>,
    /// The folder, if one was given.
    folder: Option<PathBuf>,
    compare: Option<PathBuf>,
    time_decoding: bool,
    inside: ServedFiles,
    pages: Semaphore,
}

/// Serves until the process is stopped.
///
/// # Errors
/// The files cannot be read, or the address cannot be bound.
pub(super) fn serve(args: &cli::Report, address: SocketAddr, output: Output) -> anyhow::Result<()> {
    if args.output.is_some() {
        return Err(Usage("--serve writes no file; remove --output".into()).into());
    }
    let served = Served::new(args)?;
    if !address.ip().is_loopback() && !output.quiet {
        terminal::tell(&format!(
            "warning: anyone who can reach {address} can see the reports and the recordings"
        ));
    }
    let out = served.leading_out();
    if !out.is_empty() && !output.quiet {
        terminal::tell(&format!(
            "warning: links to files outside the served folders are not followed: {}",
            out.join(", ")
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(THREADS)
        .build()
        .context("cannot start the server")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; is the port in use?"))?;
        let at = listener.local_addr().unwrap_or(address);
        terminal::print(&format!("serving    http://{at}/"))?;
        match http::answer(listener, router(served, HostNames::new(at.ip()))).await {}
    })
}

impl Served {
    fn new(args: &cli::Report) -> anyhow::Result<Self> {
        let named = [
            Some(&args.file),
            args.labels.as_ref(),
            args.video.as_ref(),
            args.compare.as_ref(),
        ];
        let inside = ServedFiles::new(named.into_iter().flatten().map(PathBuf::as_path));
        let pages = Semaphore::new(PAGES);
        if args.file.is_dir() {
            let files = folder::files(&args.file)?;
            return Ok(Self {
                sources: files
                    .iter()
                    .map(|file| folder::source(file, args))
                    .collect(),
                folder: Some(args.file.clone()),
                compare: None,
                time_decoding: false,
                inside,
                pages,
            });
        }
        let source = Source {
            file: args.file.clone(),
            labels: args.labels.clone(),
            video: args.video.clone(),
        };
        if let Some(video) = source.video.as_ref().filter(|video| !video.is_file()) {
            bail!("--video {} is not a file", video.display());
        }
        // Report problems now rather than in the browser.
        source.page(args.compare.as_deref(), None, false)?;
        Ok(Self {
            sources: vec![source],
            folder: None,
            compare: args.compare.clone(),
            time_decoding: args.time_decoding,
            inside,
            pages,
        })
    }

    /// Files that are links to the outside, at most five.
    fn leading_out(&self) -> Vec<String> {
        let files = self.sources.iter().flat_map(|source| {
            let more = [source.labels.as_ref(), source.video.as_ref()];
            [Some(&source.file)].into_iter().chain(more).flatten()
        });
        let out = files.filter(|file| file.is_file() && self.inside.file(file).is_err());
        out.take(5).map(|file| file.display().to_string()).collect()
    }

    fn page(&self, number: usize) -> anyhow::Result<String> {
        let source = self.sources.get(number).context("no such recording")?;
        let source = self.inside.source(source)?;
        let compare = self.compare.as_deref();
        let compare = compare.map(|other| self.inside.file(other)).transpose()?;
        let video = source.video.as_ref().map(|_| format!("/video/{number}"));
        let made = source.page(compare.as_deref(), video.as_deref(), self.time_decoding)?;
        Ok(made.html)
    }

    fn index(&self, folder: &std::path::Path) -> anyhow::Result<String> {
        let row = |(number, source): (usize, &Source)| {
            let name = folder::name(&source.file, folder);
            let href = format!("/report/{number}");
            match self.inside.source(source).and_then(|source| source.shown()) {
                Ok(shown) => folder::row(&name, &href, Ok(&shown)),
                Err(e) => folder::row(&name, &href, Err(e)),
            }
        };
        let rows: Vec<_> = self.sources.iter().enumerate().map(row).collect();
        let title = folder.file_name().unwrap_or(folder.as_os_str());
        page::index(&title.to_string_lossy(), &rows)
    }
}

fn router(served: Served, names: HostNames) -> Router {
    Router::new()
        .route("/", get(first))
        .route("/report/{number}", get(one))
        .route("/video/{number}", get(video))
        .with_state(Arc::new(served))
        .layer(from_fn_with_state(Arc::new(names), only_ours))
        .layer(map_response(for_this_page_alone))
}

async fn first(State(served): State<Arc<Served>>) -> Response {
    answer(served, |served| match &served.folder {
        Some(folder) => served.index(folder),
        None => served.page(0),
    })
    .await
}

async fn one(State(served): State<Arc<Served>>, Path(number): Path<usize>) -> Response {
    if number >= served.sources.len() {
        return StatusCode::NOT_FOUND.into_response();
    }
    answer(served, move |served| served.page(number)).await
}

async fn video(
    State(served): State<Arc<Served>>,
    Path(number): Path<usize>,
    request: Request,
) -> Response {
    let source = served.sources.get(number);
    let video = source.and_then(|source| source.video.as_ref());
    let Some(video) = video.and_then(|video| served.inside.file(video).ok()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match ServeFile::new(video).try_call(request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// Makes a page on a blocking thread.
async fn answer(
    served: Arc<Served>,
    make: impl FnOnce(&Served) -> anyhow::Result<String> + Send + 'static,
) -> Response {
    // The semaphore is never closed.
    let Ok(_turn) = served.pages.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let making = Arc::clone(&served);
    match tokio::task::spawn_blocking(move || make(&making)).await {
        Ok(Ok(html)) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Ok(Err(e)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e:#}")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

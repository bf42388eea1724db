//! The pages over HTTP: each made when it is asked for, with the recordings in parts as the player wants them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tower_http::services::ServeFile;

use super::{Source, folder, page};
use crate::cli;
use crate::commands::{self, Output};

/// What is served.
struct Served {
    sources: Vec<Source>,
    /// The folder, if one was given.
    folder: Option<PathBuf>,
    compare: Option<PathBuf>,
    time_decoding: bool,
}

/// Serves until the process is stopped.
///
/// # Errors
/// The files cannot be read, or nobody can listen at the address.
pub(super) fn serve(args: &cli::Report, address: SocketAddr, output: Output) -> anyhow::Result<()> {
    if args.output.is_some() {
        return Err(commands::Usage("--serve writes no file; leave --output out".into()).into());
    }
    let served = if args.file.is_dir() {
        let sources = folder::files(&args.file)?
            .iter()
            .map(|file| folder::source(file, args))
            .collect();
        Served {
            sources,
            folder: Some(args.file.clone()),
            compare: None,
            time_decoding: false,
        }
    } else {
        let source = Source {
            file: args.file.clone(),
            labels: args.labels.clone(),
            video: args.video.clone(),
        };
        if let Some(video) = source.video.as_ref().filter(|video| !video.is_file()) {
            bail!("--video {} is no file", video.display());
        }
        // What is wrong is better said now than to the browser.
        source.page(args.compare.as_deref(), None, false)?;
        Served {
            sources: vec![source],
            folder: None,
            compare: args.compare.clone(),
            time_decoding: args.time_decoding,
        }
    };
    if !address.ip().is_loopback() && !output.quiet {
        eprintln!("warning: whoever reaches {address} sees the reports and the recordings");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot start the server")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen at {address}; is the port taken?"))?;
        let at = listener.local_addr().unwrap_or(address);
        commands::print(&format!("serving    http://{at}/"))?;
        axum::serve(listener, router(served))
            .await
            .context("the server failed")
    })
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/", get(first))
        .route("/report/{number}", get(one))
        .route("/video/{number}", get(video))
        .with_state(Arc::new(served))
}

async fn first(State(served): State<Arc<Served>>) -> Response {
    if served.folder.is_none() {
        return answer(move || made(&served, 0)).await;
    }
    answer(move || {
        let folder = served.folder.clone().unwrap_or_default();
        let rows: Vec<_> = served
            .sources
            .iter()
            .enumerate()
            .map(|(number, source)| {
                let name = folder::name(&source.file, &folder);
                let href = format!("/report/{number}");
                match source.shown() {
                    Ok(shown) => folder::row(&name, &href, Ok(&shown)),
                    Err(e) => folder::row(&name, &href, Err(e)),
                }
            })
            .collect();
        let title = folder.file_name().unwrap_or(folder.as_os_str());
        page::index(&title.to_string_lossy(), &rows)
    })
    .await
}

async fn one(State(served): State<Arc<Served>>, Path(number): Path<usize>) -> Response {
    if number >= served.sources.len() {
        return StatusCode::NOT_FOUND.into_response();
    }
    answer(move || made(&served, number)).await
}

async fn video(
    State(served): State<Arc<Served>>,
    Path(number): Path<usize>,
    request: Request,
) -> Response {
    let source = served.sources.get(number);
    let Some(video) = source.and_then(|source| source.video.as_ref()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match ServeFile::new(video).try_call(request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

fn made(served: &Served, number: usize) -> anyhow::Result<String> {
    let source = served.sources.get(number).context("no such recording")?;
    let video = source.video.as_ref().map(|_| format!("/video/{number}"));
    let made = source.page(
        served.compare.as_deref(),
        video.as_deref(),
        served.time_decoding,
    )?;
    Ok(made.html)
}

/// Makes a page where it keeps nobody waiting.
async fn answer(make: impl FnOnce() -> anyhow::Result<String> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(make).await {
        Ok(Ok(html)) => ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response(),
        Ok(Err(e)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{e:#}")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

//! `earmark eval qa`: asks a server questions about videos, with frames chosen in several ways at equal tokens, and compares the answers.
//!
//! # Layout
//!
//! - `set`: the questions, each with its recording. `run`: asks all of them in every way.
//! - `reverse`: labels single frames by the model's answers, and trains a localizer head on them.
//! - `score`: judges answers and their evidence. `table`: the results.

mod reverse;
mod run;
mod score;
mod set;
mod table;

pub(crate) use reverse::fit as fit_localizer;

use serde_json::json;

use crate::ask::arm::frames_for;
use crate::ask::asker::Asker;
use crate::ask::prompt::Template;
use crate::chat::{Client, Server, probe};
use crate::cli;
use crate::cli::Sampling;
use crate::failure::Usage;
use crate::files;
use crate::stop::Stop;
use crate::terminal::{self, Output};
use run::Method;

/// Most ways of asking in one table.
const MOST_WAYS: usize = 256;

/// `earmark eval qa`.
///
/// # Errors
/// A file cannot be read, or the server fails; answers so far are kept.
pub(crate) fn evaluate(args: &cli::EvalQa, output: Output) -> anyhow::Result<()> {
    let ways = ways(args)?;
    let Some(server) = Server::named(&args.server)? else {
        return Err(Usage("no model to ask: add --endpoint and --model".into()).into());
    };
    let set = set::read(&args.asked)?;
    let stop = Stop::new()?;
    let mut client = Client::new(server, &args.server.calls, stop.clone())?;
    let wanted = ways.iter().map(|way| way.frames).max().unwrap_or(1);
    let abilities = probe(&mut client, wanted)?;
    if !output.quiet {
        terminal::tell(&format!("server: {}", abilities.text(wanted)));
    }
    let mut asker = Asker::new(Some(client), abilities, &args.selection, stop)?;
    let results = run::run(&set, &ways, &mut asker, output)?;
    if let Some(file) = &args.answers {
        files::write(file, results.lines().as_bytes(), true)?;
    }
    let table = table::Table::new(&results, &set);
    if output.json {
        let mut value = table.json();
        value["ok"] = json!(true);
        if let Some(client) = asker.client() {
            let ledger = &client.ledger;
            value["server"] = json!({ "url": client.server().url, "model": client.server().model, "abilities": asker.abilities });
            value["sent"] = json!({
                "calls": ledger.calls, "kept": ledger.kept, "repeated": ledger.repeated,
                "overhead_ms": { "p50": ledger.overhead(0.5), "p95": ledger.overhead(0.95) },
            });
        }
        return terminal::print(&format!("{value:#}"));
    }
    let mut text = table.text();
    if let Some(client) = asker.client() {
        let ledger = &client.ledger;
        text.push_str(&format!(
            "\ncalls: {} sent, {} kept from before, {} repeated",
            ledger.calls, ledger.kept, ledger.repeated
        ));
        if let Some(p95) = ledger.overhead(0.95) {
            text.push_str(&format!(
                "; what is not the server's takes {p95:.1} ms a call in 95 of 100"
            ));
        }
        text.push('\n');
    }
    for note in &set.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    terminal::print(text.trim_end())
}

/// Every strategy whose models are given.
fn all_samplings(args: &cli::EvalQa) -> Vec<Sampling> {
    let mut all = vec![
        Sampling::Uniform,
        Sampling::Random,
        Sampling::Shifted,
        Sampling::Anchors,
        Sampling::Matched,
        Sampling::Aks,
        Sampling::Bolt,
        Sampling::Localizer,
    ];
    if !args.selection.dual_encoder.is_empty() {
        all.push(Sampling::ImageText);
    }
    if args.selection.localizer_head.is_some() {
        all.push(Sampling::LocalizerHead);
    }
    all
}

/// Every way of asking, in the order of the table.
fn ways(args: &cli::EvalQa) -> anyhow::Result<Vec<Method>> {
    let mut ways = Vec::new();
    let samplings = match &args.sampling[..] {
        [] => all_samplings(args),
        given => given.to_vec(),
    };
    for tier in &args.tier {
        let tokens = match &args.tokens[..] {
            [] => vec![None],
            given => given.iter().map(|tokens| Some(*tokens)).collect(),
        };
        for tokens in tokens {
            let frames = frames_for(tokens, *tier).map_err(|e| Usage(format!("--tokens: {e}")))?;
            for prompt in &args.prompt {
                let template = Template::named(prompt)?;
                for sampling in &samplings {
                    ways.push(Method {
                        sampling: *sampling,
                        template: template.clone(),
                        frames,
                        tier: *tier,
                    });
                }
            }
        }
    }
    if ways.len() > MOST_WAYS {
        return Err(Usage(format!(
            "{} ways of asking: at most {MOST_WAYS} go into one table",
            ways.len()
        ))
        .into());
    }
    for (at, way) in ways.iter().enumerate() {
        if ways[..at].iter().any(|other| other.is_same(way)) {
            return Err(Usage(format!("{} is asked for twice", way.name())).into());
        }
    }
    Ok(ways)
}

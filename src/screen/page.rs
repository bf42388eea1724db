//! Writes the table of screened recordings as a page.

use std::path::Path;

use minijinja::{AutoEscape, Environment, context};

use super::Screened;
use crate::files;

const PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Screened recordings</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.bad { background: #d5303022; }
</style></head><body>
<h1>{{ bad }} of {{ all }} recordings are unusable</h1>
<p>Scores are means from 0 to 1, 1 is best: of the sound, and of some keyframes.</p>
<table><thead><tr><th>recording</th><th class="n">sound</th><th class="n">untrusted</th><th class="n">frames</th><th>unusable because</th></tr></thead><tbody>
{% for row in rows %}<tr{% if row.why %} class="bad"{% endif %}><td>{{ row.name }}</td><td class="n">{{ row.sound }}</td><td class="n">{{ row.untrusted }}</td><td class="n">{{ row.frames }}</td><td>{{ row.why }}</td></tr>
{% endfor %}</tbody></table></body></html>
"#;

/// Writes the page.
pub(super) fn write(path: &Path, overwrite: bool, all: &[Screened]) -> anyhow::Result<()> {
    let number = |x: Option<f32>| x.map_or("-".into(), |x| format!("{x:.2}"));
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            context! {
                name => one.name.clone(),
                sound => number(one.sound),
                untrusted => number(one.untrusted),
                frames => number(one.frames),
                why => one.unusable.join("; "),
            }
        })
        .collect();
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", PAGE)?;
    let bad = all.iter().filter(|one| !one.unusable.is_empty()).count();
    let text = environment
        .get_template("page")?
        .render(context! { bad => bad, all => all.len(), rows => rows })?;
    files::write(path, text.as_bytes(), overwrite)
}

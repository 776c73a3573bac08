//! Where a model comes from, as its file says it: the command without paths of this machine, the date,
//! the counts.

use anchorwatch::network::metadata::Provenance;
use anyhow::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What every model file says, whatever made it; the caller fills in the rest.
pub fn provenance() -> Result<Provenance> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    Ok(Provenance {
        tool: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        command: command(std::env::args()),
        date: now.format(&Rfc3339)?,
        ..Provenance::default()
    })
}

/// A command line with only the last part of each path.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let last_part = |path: &str| {
        let path = path.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path).to_string()
    };
    let shorten = |argument: String| match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => format!("{option}={}", last_part(value)),
        _ => last_part(&argument),
    };
    let quote = |argument: String| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.,=:+@".contains(letter);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    let free_text = ["--name", "--licence", "--data-note"];
    let mut words = Vec::new();
    let mut is_text = false;
    for argument in arguments {
        let text = is_text || free_text.iter().any(|option| argument.starts_with(&format!("{option}=")));
        is_text = free_text.contains(&argument.as_str());
        words.push(quote(if text { argument } else { shorten(argument) }));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_keep_no_path_of_the_machine() {
        let arguments = [
            "/home/me/bin/anchorwatch-train",
            "fit",
            "--data",
            "/home/me/data/parts/",
            "--out=/tmp/x/model",
            "--known",
            "a,b",
            "--licence",
            "CC-BY 4.0 / mine",
            "--learning-rate",
            "0.05",
        ];
        let command = command(arguments.iter().map(ToString::to_string));
        assert_eq!(
            command,
            "anchorwatch-train fit --data parts --out=model --known a,b --licence 'CC-BY 4.0 / mine' --learning-rate 0.05"
        );
    }
}

//! `anchorwatch review`: a page to look through a field log and to label what is in it.

use super::exit::UsageError;
use super::{model, terminal};
use anchorwatch_review::{ReviewError, ReviewOptions, Session};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look through a field log on a page: unknown things grouped by look, labelled with a few keys
///
/// The page groups what was unknown, labels groups or single pictures (known class, new class, ignore),
/// undoes, and exports a training folder. It may be used while 'run' records. Ctrl-C ends it; labels are
/// kept at once.
#[derive(Args, Debug)]
pub struct ReviewArgs {
    /// The folder that 'run --events' or 'collect' was given
    folder: PathBuf,

    /// The model whose classes the keys 1 to 9 stand for; without it, the default model's
    #[arg(short, long, env = "ANCHORWATCH_MODEL", value_name = "FILE")]
    model: Option<PathBuf>,

    /// The training folder that the page may export to: one folder a class, as anchorwatch-train takes it
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,

    /// Where the page is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    web: SocketAddr,

    /// Who knows this may see the page; needed at any address that the network can reach
    #[arg(long, env = "ANCHORWATCH_WEB_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    web_token: Option<String>,

    /// Look through the samples of what was judged known (run --keep-known) instead: is any of them
    /// something else?
    #[arg(long)]
    known: bool,

    /// Read so many of the newest things
    #[arg(long, value_name = "COUNT", default_value_t = ReviewOptions::default().most)]
    most: usize,
}

pub fn run(args: ReviewArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let options = ReviewOptions {
        store: args.folder,
        address: args.web,
        token: args.web_token,
        classes: model::load(args.model.as_deref())?.metadata().classes.clone(),
        export: args.export,
        most: args.most,
        known: args.known,
    };
    let session = Session::start(options).map_err(|error| match error {
        ReviewError::Access(error) => UsageError(format!("--web: {error} (--web-token)")).into(),
        error => anyhow::Error::from(error),
    })?;
    terminal::print_line(&format!(
        "{} things; the page is at http://{}/",
        session.things(),
        session.address()
    ))?;
    signals.forever().next();
    Ok(ExitCode::SUCCESS)
}

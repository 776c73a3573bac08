//! Serves the page over a store:
//! `cargo run --release -p anchorwatch-review --example show -- STORE [EXPORT [ADDRESS]]`
//!
//! STORE is the folder that 'run --events' was given, EXPORT the training folder to export to.

use anchorwatch_review::{ReviewOptions, Session};
use anyhow::{Context, Result};
use std::io::Read;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = ReviewOptions {
        store: arguments.next().context("usage: show STORE [EXPORT [ADDRESS]]")?.into(),
        export: arguments.next().map(Into::into),
        ..ReviewOptions::default()
    };
    if let Some(address) = arguments.next() {
        options.address = address.parse().context("ADDRESS is such as 127.0.0.1:8080")?;
    }
    let session = Session::start(options)?;
    println!("{} things: http://{}/ (ends with the input: Ctrl-D)", session.things(), session.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

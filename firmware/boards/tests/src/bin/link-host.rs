//! A host program for the tests: what `anchorwatch run --uart` does, with verdicts from standard input
//! (`REGION SCORE THRESHOLD`, one a line) instead of a network. Without one for longer than PATIENCE seconds
//! it gives no signs of life.
//!
//!     link-host ADDRESS JOURNAL PATIENCE

use anchorwatch_board_tests::link::{Address, Journal, Reporter, Speed};
use anchorwatch_core::{Verdict, judge};
use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, journal, patience] = &arguments[..] else {
        return Err("link-host ADDRESS JOURNAL PATIENCE".into());
    };
    let address: Address = address.parse()?;
    let patience = Duration::from_secs(patience.parse()?);
    let journal = Journal::open(Path::new(journal))?;
    let reporter = Reporter::start(address, Speed::default(), Some(journal), patience)?;
    for line in std::io::stdin().lock().lines() {
        let (region, verdict) = read(&line?).ok_or("REGION SCORE THRESHOLD")?;
        reporter.verdict(region, &verdict);
    }
    println!("{:?}", reporter.finish());
    Ok(())
}

fn read(line: &str) -> Option<(u16, Verdict)> {
    let mut words = line.split_whitespace();
    let region = words.next()?.parse().ok()?;
    let (score, threshold) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    // One distance is a score by itself.
    Some((region, judge(&[score], threshold).ok()?))
}

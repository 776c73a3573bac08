//! What the progress bars look like.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `length` steps with a heading, the share done and the time left.
pub fn bar(length: u64, heading: &str) -> ProgressBar {
    // The template is fixed; should it ever be refused, the plain bar will do.
    let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3} % {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_prefix(heading.to_string())
}

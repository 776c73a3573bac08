//! What a run shows: lines on standard output, a status line on a terminal, and the summary.

use super::run_lines as lines;
use super::settings::Settings;
use super::terminal::{print_line, print_message, status_line};
use crate::capture::{Frame, Skipped};
use crate::network::Metadata;
use crate::pipeline::{Happening, Notice, Recorded, Tally, wording};
use crate::vision::{Region, RegionRule};
use crate::watch::Sighting;
use anchorwatch_core::Verdict;
use indicatif::ProgressBar;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Of so many skipped pictures the summary gives the reasons.
const MOST_REASONS: usize = 20;

/// What goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line a verdict.
    Verdicts,
    /// A line when something unknown comes or goes.
    Events,
    /// A JSON object a verdict.
    Json,
}

/// Shows one run.
pub struct Display {
    form: Form,
    classes: Vec<String>,
    /// A folder that the frames' names are told relative to.
    folder: Option<PathBuf>,
    events: Option<PathBuf>,
    annotate: Option<PathBuf>,
    one_region: bool,
    pictures: bool,
    skipped: Vec<Skipped>,
    status: ProgressBar,
}

impl Display {
    /// For a run with these settings.
    pub fn new(
        form: Form,
        metadata: &Metadata,
        settings: &Settings,
        pictures: bool,
        frames: Option<u64>,
    ) -> Self {
        Self {
            form,
            classes: metadata.classes.clone(),
            folder: settings.source.as_ref().map(PathBuf::from).filter(|source| source.is_dir()),
            events: settings.events.clone(),
            annotate: settings.annotate.clone(),
            one_region: match &settings.region {
                RegionRule::Frame | RegionRule::Centre => true,
                RegionRule::Boxes(boxes) => boxes.len() == 1,
                RegionRule::Grid { columns, rows } => columns * rows == 1,
                RegionRule::Motion(_) | RegionRule::Socket(_) => false,
            },
            pictures,
            skipped: Vec::new(),
            status: status_line(frames),
        }
    }

    /// Prints text for people: to standard error when standard output is JSON.
    pub fn say(&self, text: &str) -> std::io::Result<()> {
        if self.form == Form::Json { print_message(text) } else { print_line(text) }
    }

    /// Shows what happened.
    pub fn show(&mut self, happening: Happening<'_>, tally: &Tally) -> std::io::Result<()> {
        match happening {
            Happening::Judged { frame, region, verdict, background, .. } => {
                match self.form {
                    Form::Json => {
                        let line = lines::verdict(frame, region, verdict, background, &self.classes);
                        print_line(&serde_json::to_string(&line)?)?;
                    }
                    Form::Verdicts => print_line(&self.verdict(frame, region, verdict, background))?,
                    Form::Events => {}
                }
                self.status.set_position(tally.frames);
                self.status.set_message(self.status(verdict, tally));
            }
            Happening::Started(sighting) if self.form != Form::Json => print_line(&self.started(sighting))?,
            Happening::Finished(sighting) if self.form != Form::Json => print_line(&self.finished(sighting))?,
            Happening::Started(_) | Happening::Finished(_) => {}
            Happening::Notice(notice) => self.notice(notice)?,
            Happening::Round => {}
            Happening::Skipped(skipped) => {
                log::info!("left out: {}", reason(skipped));
                if self.skipped.len() < MOST_REASONS {
                    self.skipped.push(skipped.clone());
                }
            }
        }
        Ok(())
    }
}

impl Display {
    /// A camera that is lost is no verdict: with `--json` it is on standard error only, as a message
    /// of the capturing thread.
    fn notice(&self, notice: &Notice) -> std::io::Result<()> {
        let line = match notice {
            Notice::Lost { why, .. } => {
                self.status.set_message("the camera is lost");
                format!("CAMERA LOST: {why}")
            }
            Notice::Back { source, format, after, .. } => {
                format!("camera back: '{source}' after {:.1} s, {format}", after.as_secs_f64())
            }
        };
        if self.form == Form::Json { Ok(()) } else { print_line(&line) }
    }

    fn verdict(&self, frame: &Frame, region: Region, verdict: &Verdict, background: bool) -> String {
        let name = if self.pictures { self.short(&frame.name) } else { format!("frame {}", frame.index) };
        let background = if background { "  (background)" } else { "" };
        format!("{name:<24}{}  {}{background}", self.region(region), wording::line(verdict, &self.classes))
    }

    fn started(&self, sighting: &Sighting) -> String {
        let verdict = wording::line(&sighting.worst.verdict, &self.classes);
        format!(
            "frame {}{}: something comes into view: {verdict}",
            sighting.worst.frame,
            self.region(sighting.region)
        )
    }

    fn finished(&self, sighting: &Sighting) -> String {
        let Sighting { frames, unknown_frames, worst, .. } = sighting;
        format!(
            "{}it was there for {:.1} s: {unknown_frames} of {frames} frames unknown, the worst is frame {}: {}",
            if self.one_region { String::new() } else { format!("region {}: ", sighting.region.id) },
            sighting.seconds(),
            worst.frame,
            wording::line(&worst.verdict, &self.classes),
        )
    }

    /// Which region, if there is more than one.
    fn region(&self, region: Region) -> String {
        if self.one_region { String::new() } else { format!("  region {}", region.id) }
    }

    /// A picture's name, told relative to the folder that is looked at.
    fn short(&self, name: &str) -> String {
        let path = Path::new(name);
        let short = self.folder.as_ref().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
        short.display().to_string()
    }

    fn status(&self, verdict: &Verdict, tally: &Tally) -> String {
        let mut status = format!(
            "{:.1} frames/s   known {}   UNKNOWN {}   events {}",
            tally.frames_per_second(),
            tally.known_regions(),
            tally.unknown_regions(),
            tally.events
        );
        let counts = [(tally.dropped, "dropped"), (tally.skipped, "left out"), (tally.losses, "camera lost")];
        for (count, what) in counts {
            if count > 0 {
                status += &format!("   {what} {count}");
            }
        }
        if tally.pace < 1.0 {
            let degrees = tally.heat.celsius.map_or(String::new(), |celsius| format!(" at {celsius:.0} °C"));
            status += &format!("   slowed to {:.0} %{degrees}", tally.pace * 100.0);
        }
        status + "   now: " + &wording::line(verdict, &self.classes)
    }

    /// The summary, at the end.
    pub fn sum_up(&self, tally: &Tally, recorded: &Recorded) -> std::io::Result<()> {
        self.status.finish_and_clear();
        self.say(&self.summary(tally, recorded))
    }

    fn summary(&self, tally: &Tally, recorded: &Recorded) -> String {
        let mut text = format!(
            "\n{} judged in {:.1} s ({:.1} a second)",
            count(tally.frames, if self.pictures { "picture" } else { "frame" }),
            tally.started.elapsed().as_secs_f64(),
            tally.frames_per_second()
        );
        let mut line = |what: &str, count: u64, more: String| {
            let separator = if more.is_empty() { "" } else { "   " };
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {what:<9} {count:>6}{separator}{more}");
        };
        line("known", tally.known_regions(), self.by_class(&tally.known));
        let mut unknown = self.by_class(&tally.unknown);
        if !unknown.is_empty() {
            unknown.insert_str(0, "most like ");
        }
        line("UNKNOWN", tally.unknown_regions(), unknown);
        if tally.background > 0 {
            line("", tally.background, "more are background".to_string());
        }
        if tally.unwatched > 0 {
            line("unwatched", tally.unwatched, "frames came while it was not to be watched".to_string());
        }
        if tally.not_finite > 0 {
            line("", tally.not_finite, "of these because the network gave no finite numbers".to_string());
        }
        let kept = match &self.events {
            Some(folder) => format!("kept in {}", folder.display()),
            None if tally.events > 0 => "not kept: give --events DIR".to_string(),
            None => String::new(),
        };
        line("events", tally.events, kept);
        if recorded.samples > 0 {
            line("samples", recorded.samples, "of known things kept, to calibrate with".to_string());
        }
        if let Some(folder) = &self.annotate {
            line("annotated", recorded.frames, format!("in {}", folder.display()));
        }
        for (what, number, why) in [
            ("dropped", tally.dropped, "frames came while another was being judged"),
            ("slowed", tally.slowed, "times the board was too hot or badly supplied"),
            ("lost", tally.losses, "times the camera was gone; it was opened again"),
            ("", recorded.dropped_frames, "frames were not annotated: the disk is too slow"),
            ("LOST", recorded.lost_events, "events"),
            ("LOST", recorded.lost_crops, "pictures of events"),
            ("LOST", recorded.lost_frames, "annotated frames"),
        ] {
            if number > 0 {
                line(what, number, why.to_string());
            }
        }
        if tally.skipped > 0 {
            line("left out", tally.skipped, String::new());
            for skipped in &self.skipped {
                let _ = write!(text, "\n    {}", reason(skipped));
            }
            let more = tally.skipped - self.skipped.len() as u64;
            if more > 0 {
                let _ = write!(text, "\n    and {more} more");
            }
        }
        text
    }

    /// The classes that were seen, the most frequent first.
    fn by_class(&self, counts: &[u64]) -> String {
        let mut seen: Vec<_> = counts.iter().zip(&self.classes).filter(|(count, _)| **count > 0).collect();
        seen.sort_by_key(|(count, _)| std::cmp::Reverse(**count));
        let seen: Vec<_> = seen.into_iter().map(|(count, class)| format!("{class} {count}")).collect();
        seen.join(", ")
    }
}

/// `1 picture`, `2 pictures`.
fn count(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Which picture was left out, and why.
fn reason(skipped: &Skipped) -> String {
    if skipped.why.contains(&skipped.path) {
        skipped.why.clone()
    } else {
        format!("{}: {}", skipped.path, skipped.why)
    }
}

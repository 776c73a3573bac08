//! Exports that others read: JSON lines, CSV, COCO, and folders of pictures by class.

use crate::store::Store;
use crate::{Event, Filter, Order, StoreError, coco, event};
use std::io::Write;
use std::path::Path;

const COLUMNS: [&str; 24] = [
    "id",
    "unit",
    "phase",
    "time",
    "uptime",
    "boot",
    "clock_set",
    "source",
    "frame",
    "region",
    "x",
    "y",
    "width",
    "height",
    "class",
    "runner_up",
    "score",
    "threshold",
    "relative_score",
    "label",
    "starred",
    "sent",
    "model",
    "crop",
];

/// The folder of pictures that nobody gave a class.
const UNLABELLED: &str = "unlabelled";

impl Store {
    /// One JSON object a line, the oldest first. The number of events.
    ///
    /// # Errors
    /// If the database cannot be read or the lines cannot be written.
    pub fn export_jsonl(&self, filter: &Filter, out: &mut dyn Write) -> Result<u64, StoreError> {
        let mut count = 0;
        self.each(filter, Order::Oldest, |event| {
            count += 1;
            writeln!(out, "{}", event.json()).map_err(failed)
        })?;
        out.flush().map_err(failed)?;
        Ok(count)
    }

    /// Comma-separated values with a line of names, the oldest first. The number of events.
    ///
    /// # Errors
    /// If the database cannot be read or the lines cannot be written.
    pub fn export_csv(&self, filter: &Filter, out: &mut dyn Write) -> Result<u64, StoreError> {
        let mut lines = csv::Writer::from_writer(out);
        lines.write_record(COLUMNS).map_err(failed)?;
        let mut count = 0;
        self.each(filter, Order::Oldest, |event| {
            count += 1;
            lines.write_record(cells(&event)).map_err(failed)
        })?;
        lines.flush().map_err(failed)?;
        Ok(count)
    }

    /// COCO's JSON for object detection: each crop is a picture with one box around all of it, of the
    /// class that a person gave it, or else 'unknown'; a sample of what was judged known, of that class. File names are relative to the log's folder.
    /// The number of pictures.
    ///
    /// # Errors
    /// If the database cannot be read or the file cannot be written.
    pub fn export_coco(&self, filter: &Filter, out: &mut dyn Write) -> Result<u64, StoreError> {
        let mut set = coco::DataSet::default();
        let with_crop = Filter { with_crop: Some(true), ..filter.clone() };
        self.each(&with_crop, Order::Oldest, |event| {
            set.add(&event);
            Ok(())
        })?;
        serde_json::to_writer(&mut *out, &set).map_err(failed)?;
        writeln!(out).and_then(|()| out.flush()).map_err(failed)?;
        Ok(set.images.len() as u64)
    }

    /// Copies the crops to a folder for each class that a person gave, as the trainer takes them; the
    /// others to 'unlabelled'. The number of pictures.
    ///
    /// # Errors
    /// If the database or a crop cannot be read, or a copy cannot be written.
    pub fn export_folders(&self, filter: &Filter, to: &Path) -> Result<u64, StoreError> {
        let mut count = 0;
        let with_crop = Filter { with_crop: Some(true), ..filter.clone() };
        self.each(&with_crop, Order::Oldest, |event| {
            let Some(crop) = &event.crop else { return Ok(()) };
            let from = self.folder.join(crop);
            let class = event.marks.label.as_deref().map_or(UNLABELLED.to_string(), folder_name);
            let folder = to.join(class);
            std::fs::create_dir_all(&folder).map_err(StoreError::file(&folder))?;
            let name = from.file_name().unwrap_or_default();
            std::fs::copy(&from, folder.join(name)).map_err(StoreError::file(&from))?;
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }
}

fn failed(error: impl Into<std::io::Error>) -> StoreError {
    StoreError::Export(error.into())
}

/// A class's name as a folder's: no path out of the folder, nothing hidden.
pub fn folder_name(class: &str) -> String {
    let name: String =
        class.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name }
}

fn cells(event: &Event) -> Vec<String> {
    let facts = &event.facts;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |number: Option<f32>| number.map_or(String::new(), |number| number.to_string());
    let mut cells = vec![
        event.id.clone(),
        event.unit.clone(),
        facts.kind.name().to_string(),
        event::timestamp(facts.moment.utc_ms),
        (facts.moment.uptime_ms as f64 / 1000.0).to_string(),
        facts.moment.boot.clone(),
        (event.clock != crate::Clock::Unset).to_string(),
        facts.source.clone(),
        facts.frame.to_string(),
        facts.region.to_string(),
    ];
    cells.extend(facts.region_box.map(|length| length.to_string()));
    cells.extend([
        text(&facts.class),
        text(&facts.runner_up),
        number(facts.score),
        number(facts.threshold),
        number(event.relative_score()),
        text(&event.marks.label),
        event.marks.starred.to_string(),
        event.marks.sent.to_string(),
        facts.model.clone(),
        text(&event.crop),
    ]);
    cells
}

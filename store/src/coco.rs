//! COCO's JSON for object detection (<https://cocodataset.org/#format-data>).

use crate::event::timestamp;
use crate::{Event, Kind};
use serde::Serialize;

/// What is unknown and has no label.
const UNKNOWN: &str = "unknown";

/// A data set.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DataSet {
    pub(crate) images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Image {
    id: i64,
    file_name: String,
    width: u32,
    height: u32,
    date_captured: String,
}

#[derive(Debug, Serialize)]
struct Annotation {
    id: i64,
    image_id: i64,
    category_id: usize,
    bbox: [u32; 4],
    area: u64,
    iscrowd: u8,
    /// The rejection score ÷ the threshold; not COCO's, readers pass over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    relative_score: Option<f32>,
}

#[derive(Debug, Serialize)]
struct Category {
    id: usize,
    name: String,
    supercategory: String,
}

impl DataSet {
    /// Adds the crop of an event, if it has one.
    pub(crate) fn add(&mut self, event: &Event) {
        let Some(crop) = &event.crop else { return };
        let [width, height] = event.crop_size;
        let judged = event.facts.class.as_deref().filter(|_| event.facts.kind == Kind::Known);
        let category_id = self.category(event.marks.label.as_deref().or(judged).unwrap_or(UNKNOWN));
        self.images.push(Image {
            id: event.seq,
            file_name: crop.clone(),
            width,
            height,
            date_captured: timestamp(event.facts.moment.utc_ms),
        });
        self.annotations.push(Annotation {
            id: event.seq,
            image_id: event.seq,
            category_id,
            bbox: [0, 0, width, height],
            area: u64::from(width) * u64::from(height),
            iscrowd: 0,
            relative_score: event.relative_score(),
        });
    }

    fn category(&mut self, name: &str) -> usize {
        if let Some(category) = self.categories.iter().find(|category| category.name == name) {
            return category.id;
        }
        let id = self.categories.len() + 1;
        self.categories.push(Category { id, name: name.to_string(), supercategory: String::new() });
        id
    }
}

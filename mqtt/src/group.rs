//! What came from the units, in groups that are kept at once.

use anchorwatch_store::{Crop, NewEvent};

/// A group of messages that came. When it was kept, the broker may forget them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Events, in the order in which they came; each has its unit's identifier. One that came before is
    /// in there again when its unit sent it twice.
    pub events: Vec<NewEvent>,
    /// Pictures that came, of events of this group and of earlier ones.
    pub pictures: Vec<LatePicture>,
}

/// A picture that came after its event.
#[derive(Clone, Debug, PartialEq)]
pub struct LatePicture {
    /// The unit.
    pub unit: String,
    /// The event's identifier.
    pub id: String,
    /// The picture.
    pub crop: Crop,
    /// Whether it is the whole crop, and not its thumbnail.
    pub whole: bool,
}

impl Group {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.pictures.is_empty()
    }

    /// Adds a picture: to its event, if that is in this group.
    pub(crate) fn add_picture(&mut self, picture: LatePicture) {
        let pixels = |crop: &Crop| u64::from(crop.size[0]) * u64::from(crop.size[1]);
        let is_its =
            |event: &&mut NewEvent| event.identity.as_ref().is_some_and(|identity| identity.id == picture.id);
        // The first one of this name is the one that the store takes.
        match self.events.iter_mut().find(is_its) {
            Some(event) if event.crop.as_ref().is_none_or(|crop| pixels(crop) < pixels(&picture.crop)) => {
                // Should the event be in the store already, it gets its picture from this.
                self.pictures.push(picture.clone());
                event.crop = Some(picture.crop);
            }
            Some(_) => {}
            None => self.pictures.push(picture),
        }
    }
}

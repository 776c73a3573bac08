//! Keeps what came from the units in one store.

use crate::Group;
use anchorwatch_store::{Attached, Store};

/// Records a group into a store: all of it, or an error, and then it is to come again.
///
/// # Errors
/// If something could not be recorded: the reason.
pub fn keep_in_store(store: &mut Store, group: &Group) -> Result<(), String> {
    let recorded = store.record(&group.events);
    if recorded.lost_events > 0 {
        return Err(recorded.error.unwrap_or_else(|| "the store takes nothing".to_string()));
    }
    for picture in &group.pictures {
        match store.attach_crop(&picture.id, &picture.crop) {
            Ok(Attached::Kept | Attached::NotNeeded) => {}
            Ok(Attached::NoEvent) => log::debug!("a picture of {}, which is not here", picture.id),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

//! The field log as its users see it, and what a board does to it: power cuts, full disks, damage.

mod damage;
mod everyday;
mod full_disk;
mod late_crop;
mod limits;
mod made;
mod power_cut;

#[path = "../../../tests/support/small_disk.rs"]
mod small_disk;

//! A board that runs for a year must not allocate in the network for every frame. (Resizing does: the
//! library allocates its tables of coefficients anew.)

use anchorwatch::network::Model;
use image::{Rgb, RgbImage};

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]))
}

#[test]
fn after_the_first_picture_the_network_allocates_nothing() {
    for threads in [1, 2] {
        let model = Model::embedded().unwrap().with_threads(threads);
        let input = &model.metadata().input;
        let pixels = picture(input.width, input.height).into_raw();
        let mut session = model.session().unwrap();
        let first = session.logits(&pixels).unwrap().to_vec();
        let counted = allocation_counter::measure(|| {
            for _ in 0..10 {
                assert_eq!(session.logits(&pixels).unwrap(), first);
            }
        });
        assert_eq!(counted.count_total, 0, "{threads} threads: {counted:?}");
    }
}

//! The findings as one page with small pictures: what is to be looked at is seen side by side. It stands by
//! itself, with the pictures inside.

use super::findings::Report;
use crate::interrupt::Interrupt;
use anchorwatch::vision::load_picture;
use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, ImageFormat};
use std::fmt::Write;
use std::io::Cursor;
use std::path::Path;

/// Side of the square that a small picture fits in, in pixels.
const SIDE: u32 = 96;

/// Items of a finding that are shown.
const SHOWN: usize = 200;

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>data check</title>
<style>
body { font: 15px sans-serif; margin: 2em; color: #222; background: #fff }
figure { display: inline-block; vertical-align: top; margin: 0 1em 1em 0; max-width: 14em }
figcaption { font-size: 12px; overflow-wrap: anywhere }
img { image-rendering: pixelated; margin-right: 2px }
</style>
";

/// The page.
///
/// # Errors
/// If it is interrupted.
pub fn page(report: &Report, interrupt: &Interrupt) -> Result<String> {
    let mut page = HEAD.to_string();
    let _ =
        writeln!(page, "<h1>{}</h1>\n<pre>{}</pre>", escaped(&report.title()), escaped(&report.overview()));
    for finding in &report.findings {
        let _ = writeln!(page, "<h2>{}</h2>\n<p>{}</p>", escaped(&finding.what), escaped(&finding.advice));
        for item in finding.items.iter().take(SHOWN) {
            interrupt.check()?;
            let _ = writeln!(
                page,
                "<figure>{}{}<figcaption>{}</figcaption></figure>",
                small(&item.path),
                item.beside.as_deref().map_or(String::new(), small),
                escaped(&report.line(item))
            );
        }
        if finding.items.len() > SHOWN {
            let _ = writeln!(page, "<p>and {} more</p>", finding.items.len() - SHOWN);
        }
    }
    Ok(page + "</html>\n")
}

/// A small copy as an element; nothing for what is no readable picture.
fn small(path: &Path) -> String {
    let Ok(picture) = load_picture(path) else { return String::new() };
    let picture = DynamicImage::ImageRgb8(picture);
    let picture =
        if picture.width().max(picture.height()) > SIDE { picture.thumbnail(SIDE, SIDE) } else { picture };
    let mut png = Cursor::new(Vec::new());
    if picture.write_to(&mut png, ImageFormat::Png).is_err() {
        return String::new();
    }
    let longest = picture.width().max(picture.height()).max(1);
    let shown = |side: u32| side * SIDE / longest;
    format!(
        "<img width=\"{}\" height=\"{}\" alt=\"\" src=\"data:image/png;base64,{}\">",
        shown(picture.width()),
        shown(picture.height()),
        BASE64_STANDARD.encode(png.into_inner())
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

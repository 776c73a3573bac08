//! What is answered: from method, path and body to a page, a picture or JSON. Called on the server's thread.

use crate::desk::{Desk, DeskError, Mark};
use crate::export::ExportError;
use crate::grouping::Detail;
use crate::picture;
use crate::sheets::{SheetOrder, Which};
use crate::things::Thing;
use anchorwatch_serve::{Answer, Method};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io;
use std::path::Path;

const JSON: &str = "application/json";

/// Which groups are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GroupsAsked {
    /// From the fewest groups, 1, to the most, 5.
    detail: Option<usize>,
    order: SheetOrder,
    which: Which,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkAsked {
    /// Numbers of things.
    things: Vec<i64>,
    mark: Mark,
}

/// A request without a choice.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A problem that the page tells.
struct Refusal(u16, String);

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        let status = match &error {
            DeskError::NoThing(_) => 404,
            DeskError::NoThings | DeskError::Name(_) => 400,
            DeskError::NothingToUndo
            | DeskError::NoExportFolder
            | DeskError::Export(ExportError::InAStore(_)) => 409,
            DeskError::Store(_) | DeskError::Export(_) => 500,
        };
        Self(status, error.to_string())
    }
}

pub(crate) fn answer(desk: &mut Desk, method: &Method, path: &str, body: &[u8]) -> Answer {
    let answered = match *method {
        Method::GET | Method::HEAD => get(desk, path),
        Method::POST => post(desk, path, body),
        _ => Err(Refusal(405, "only GET and POST".to_string())),
    };
    answered.unwrap_or_else(|Refusal(status, error)| {
        if status >= 500 {
            log::error!("{error}");
        }
        Answer { status, kind: JSON, body: json!({ "error": error }).to_string().into_bytes() }
    })
}

fn get(desk: &Desk, path: &str) -> Result<Answer, Refusal> {
    let found = |kind, body: &str| Ok(Answer { status: 200, kind, body: body.into() });
    match path {
        "/" => return found("text/html; charset=utf-8", include_str!("page.html")),
        "/page.css" => return found("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => return found("text/javascript; charset=utf-8", include_str!("page.js")),
        "/overview.json" => return answered(&desk.overview()),
        _ => {}
    }
    if let Some(number) = number_in(path, "/thumb/", ".jpg") {
        return shown(desk, number, |path, thing| picture::thumbnail(path, thing.picture_size));
    }
    if let Some(number) = number_in(path, "/picture/", ".jpg") {
        return shown(desk, number, |path, _| picture::whole(path));
    }
    if let Some(number) = number_in(path, "/thing/", ".json") {
        return answered(&desk.details(number)?);
    }
    Err(no_page())
}

fn post(desk: &mut Desk, path: &str, body: &[u8]) -> Result<Answer, Refusal> {
    match path {
        "/groups" => {
            let asked: GroupsAsked = parsed(body)?;
            let detail = match asked.detail {
                None => Detail::Usual,
                Some(detail) => *Detail::ALL.get(detail.wrapping_sub(1)).ok_or_else(|| {
                    Refusal(
                        400,
                        format!("'detail' is 1 (fewest groups) to {}, not {detail}", Detail::ALL.len()),
                    )
                })?,
            };
            answered(&desk.sheets(detail, &asked.which, asked.order))
        }
        "/mark" => {
            let asked: MarkAsked = parsed(body)?;
            answered(&desk.mark(&asked.things, &asked.mark)?)
        }
        "/undo" => {
            let Nothing {} = parsed(body)?;
            answered(&desk.undo()?)
        }
        "/export" => {
            let Nothing {} = parsed(body)?;
            answered(&desk.export()?)
        }
        "/read" => {
            let Nothing {} = parsed(body)?;
            desk.read().map_err(DeskError::from)?;
            answered(&desk.overview())
        }
        _ => Err(no_page()),
    }
}

fn no_page() -> Refusal {
    Refusal(404, "there is no such page".to_string())
}

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal(400, format!("the request is not as it must be: {error}")))
}

fn answered(value: &impl Serialize) -> Result<Answer, Refusal> {
    let body = serde_json::to_vec(value).map_err(|error| Refusal(500, error.to_string()))?;
    Ok(Answer { status: 200, kind: JSON, body })
}

fn number_in(path: &str, start: &str, end: &str) -> Option<i64> {
    path.strip_prefix(start)?.strip_suffix(end)?.parse().ok()
}

fn shown(
    desk: &Desk,
    number: i64,
    read: impl FnOnce(&Path, &Thing) -> io::Result<Answer>,
) -> Result<Answer, Refusal> {
    let thing = desk.thing(number).ok_or(DeskError::NoThing(number))?;
    read(&desk.picture(thing), thing).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DeskError::NoThing(number).into(),
        _ => Refusal(500, format!("the picture {number} cannot be read: {error}")),
    })
}

//! The names of the topics: `PREFIX/UNIT/…`.

use crate::MqttError;

/// The topics below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    prefix: String,
}

/// What a message is, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    Event { unit: &'a str },
    Thumbnail { unit: &'a str, id: &'a str },
    Crop { unit: &'a str, id: &'a str },
}

impl Topics {
    /// # Errors
    /// If no topic may have this name.
    pub(crate) fn new(prefix: &str) -> Result<Self, MqttError> {
        let is_wrong = prefix.is_empty()
            || prefix.len() > 128
            || prefix.starts_with(['$', '/'])
            || prefix.ends_with('/')
            || prefix.contains(['+', '#'])
            || prefix.chars().any(char::is_control);
        if is_wrong {
            let reason =
                format!("'{prefix}' is no topic prefix: a name such as anchorwatch, without + and #");
            return Err(MqttError::Setting(reason));
        }
        Ok(Self { prefix: prefix.to_string() })
    }

    pub(crate) fn event(&self, unit: &str) -> String {
        format!("{}/{unit}/event", self.prefix)
    }

    pub(crate) fn thumbnail(&self, unit: &str, id: &str) -> String {
        format!("{}/{unit}/thumbnail/{id}", self.prefix)
    }

    pub(crate) fn crop(&self, unit: &str, id: &str) -> String {
        format!("{}/{unit}/crop/{id}", self.prefix)
    }

    pub(crate) fn detections(&self, unit: &str) -> String {
        format!("{}/{unit}/detections", self.prefix)
    }

    pub(crate) fn status(&self, unit: &str) -> String {
        format!("{}/{unit}/status", self.prefix)
    }

    /// What a collector subscribes to.
    ///
    /// # Errors
    /// If the group's name may not stand in a topic filter.
    pub(crate) fn filters(&self, group: Option<&str>, pictures: bool) -> Result<Vec<String>, MqttError> {
        let share = match group {
            None => String::new(),
            Some(group) if group.is_empty() || group.contains(['/', '+', '#']) => {
                let reason = format!("'{group}' is no group: a name without /, + and #");
                return Err(MqttError::Setting(reason));
            }
            Some(group) => format!("$share/{group}/"),
        };
        let kinds: &[&str] = if pictures { &["event", "thumbnail/+", "crop/+"] } else { &["event"] };
        Ok(kinds.iter().map(|kind| format!("{share}{}/+/{kind}", self.prefix)).collect())
    }

    /// What a message to this topic is; `None` if it is none of ours.
    pub(crate) fn parse<'a>(&self, topic: &'a str) -> Option<Named<'a>> {
        let rest = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        let mut levels = rest.split('/');
        let (unit, kind) = (levels.next()?, levels.next()?);
        let named = match (kind, levels.next()) {
            ("event", None) => Named::Event { unit },
            ("thumbnail", Some(id)) => Named::Thumbnail { unit, id },
            ("crop", Some(id)) => Named::Crop { unit, id },
            _ => return None,
        };
        levels.next().is_none().then_some(named)
    }
}

/// Whether this may be a unit's name: as [`anchorwatch_store::unit_name`] makes them.
pub(crate) fn is_unit(unit: &str) -> bool {
    !unit.is_empty() && anchorwatch_store::unit_name(unit) == unit
}

/// Whether this may be the identifier of an event of the unit: no path, no other unit's.
pub(crate) fn is_id_of(id: &str, unit: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let own = id.strip_prefix(unit).and_then(|rest| rest.strip_prefix('-'));
    id.len() <= 120 && own.is_some_and(|own| !own.is_empty()) && id.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_recognised_and_nothing_else() {
        let topics = Topics::new("site/a").unwrap();
        assert_eq!(topics.parse(&topics.event("u")), Some(Named::Event { unit: "u" }));
        assert_eq!(
            topics.parse(&topics.thumbnail("u", "u-1")),
            Some(Named::Thumbnail { unit: "u", id: "u-1" })
        );
        assert_eq!(topics.parse(&topics.crop("u", "u-1")), Some(Named::Crop { unit: "u", id: "u-1" }));
        for other in
            ["site/a", "site/ab/u/event", "site/a/u/event/x", "site/a/u/crop/../x", "x", "site/a/u/status"]
        {
            assert_eq!(topics.parse(other), None, "{other}");
        }
        for prefix in ["", "a/+/b", "#", "$share/x", "/a", "a/", "a\nb"] {
            assert!(Topics::new(prefix).is_err(), "{prefix}");
        }
        assert_eq!(topics.filters(Some("g"), false).unwrap(), ["$share/g/site/a/+/event"]);
        assert!(topics.filters(Some("a/b"), true).is_err());
    }

    #[test]
    fn identifiers_stay_within_their_unit() {
        for (id, unit, expected) in [
            ("a-12-0001", "a", true),
            ("a", "a", false),
            ("a-", "a", false),
            ("b-12-0001", "a", false),
            ("ab-1", "a", false),
            ("a-../../x", "a", false),
            ("a-\u{e9}", "a", false),
        ] {
            assert_eq!(is_id_of(id, unit), expected, "{id}");
        }
        assert!(is_unit("unit_7") && !is_unit("unit-7") && !is_unit("") && !is_unit("a/b"));
    }
}

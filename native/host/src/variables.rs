//! Application variables: where their values come from, and the `{{ name }}` templates that use them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Deserialize;

/// What every environment variable that sets an application variable begins with, as in Spin.
const ENVIRONMENT_PREFIX: &str = "SPIN_VARIABLE_";

/// The environment variable that sets an application variable.
pub(crate) fn environment_name(variable: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", variable.to_ascii_uppercase())
}

/// One entry of the manifest's `[variables]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    #[serde(default, rename = "secret")]
    _secret: bool,
}

impl Declaration {
    /// A variable that is required unless it has a default.
    pub(crate) fn of_default(default: Option<String>) -> Self {
        Self { required: default.is_none(), default, ..Self::default() }
    }
}

/// Leaves out the default: it may be a secret.
impl fmt::Debug for Declaration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Declaration").field("required", &self.required).finish_non_exhaustive()
    }
}

/// Whether a name is one that Spin accepts for a variable; the error says why not.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let bytes = name.as_bytes();
    match (bytes.first(), bytes.last()) {
        (None, _) | (_, None) => Err("must not be empty"),
        _ if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_') => {
            Err("may contain only lower-case letters, digits and underscores")
        }
        (Some(first), _) if !first.is_ascii_lowercase() => Err("must start with a lower-case letter"),
        (_, Some(b'_')) => Err("must end with a letter or digit"),
        _ if name.contains("__") => Err("must not contain two underscores in a row"),
        _ => Ok(()),
    }
}

/// The values of all application variables. It never shows them: any of them may be a secret.
#[derive(Default, Clone)]
pub(crate) struct Values(HashMap<String, String>);

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Values {
    /// Takes each value from the environment, else from `overrides`, else from the manifest's default. The error lists
    /// the required variables that none of them sets.
    pub(crate) fn resolve(
        declared: &BTreeMap<String, Declaration>,
        environment: impl Fn(&str) -> Option<String>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<String>> {
        let mut values = HashMap::with_capacity(declared.len());
        let mut missing = Vec::new();
        for (name, declaration) in declared {
            let value = environment(&environment_name(name))
                .or_else(|| overrides.get(name).cloned())
                .or_else(|| declaration.default.clone());
            match value {
                Some(value) => {
                    values.insert(name.clone(), value);
                }
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() { Ok(Self(values)) } else { Err(missing) }
    }

    /// Fills in a template. Every name in it was checked to be declared when the manifest was read.
    pub(crate) fn fill(&self, template: &Template) -> String {
        template
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Variable(name) => self.0.get(name).map_or("", String::as_str),
            })
            .collect()
    }
}

/// Text with `{{ name }}` in it, as Spin writes templates: no escapes, no expressions, whitespace around a name ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once("{{") {
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            let (name, after) = after.split_once("}}").ok_or("has {{ without }}")?;
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The names that it refers to.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(name) => Some(name.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Declaration> {
        entries
            .iter()
            .map(|(name, default)| {
                let declaration = Declaration {
                    required: default.is_none(),
                    default: default.map(str::to_owned),
                    ..Declaration::default()
                };
                ((*name).to_owned(), declaration)
            })
            .collect()
    }

    #[test]
    fn the_environment_wins_over_settings_and_settings_over_defaults() {
        let declared = declared(&[("a", Some("default")), ("b", Some("default")), ("c_1", Some("default"))]);
        let overrides =
            BTreeMap::from([("a".to_owned(), "setting".to_owned()), ("b".to_owned(), "setting".to_owned())]);
        let environment = |name: &str| (name == "SPIN_VARIABLE_A").then(|| "environment".to_owned());
        let values = Values::resolve(&declared, environment, &overrides).unwrap();
        let fill = |template| values.fill(&Template::parse(template).unwrap());
        assert_eq!(fill("{{ a }}|{{b}}|x{{  c_1 }}y"), "environment|setting|xdefaulty");
    }

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let declared = declared(&[("a", None), ("b", Some("x")), ("c", None)]);
        assert_eq!(Values::resolve(&declared, |_| None, &BTreeMap::new()).unwrap_err(), ["a", "c"]);
    }

    #[test]
    fn debug_output_has_no_value() {
        let declared = declared(&[("password", Some("hunter2"))]);
        let values = Values::resolve(&declared, |_| None, &BTreeMap::new()).unwrap();
        assert_eq!(format!("{values:?}"), r#"{"password"}"#);
    }

    #[test]
    fn templates() {
        let parts = |source| Template::parse(source).map(|template| template.0);
        assert_eq!(parts(""), Ok(vec![]));
        assert_eq!(parts("plain"), Ok(vec![Part::Text("plain".to_owned())]));
        assert_eq!(parts("{{a}}{{ b }}"), Ok(vec![Part::Variable("a".to_owned()), Part::Variable("b".to_owned())]));
        assert_eq!(parts("}} a"), Ok(vec![Part::Text("}} a".to_owned())]));
        assert!(parts("{{ a }} {{ b").is_err());
    }

    #[test]
    fn names() {
        for good in ["a", "abc", "a1b2c3", "a_1", "a_1_b_3"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "aX", "1bc", "_x", "x.y", "x_", "a__b", "x-y", "ü"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}

//! Values of variables, from where Spin has them and in Spin's order: the command line, the providers of the runtime
//! configuration, the environment, a file `.env` in the working directory. Defaults are the host's affair.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The file that Spin reads beside the environment.
const DOTENV: &str = ".env";

/// What names begin with in the environment, unless a provider has another prefix.
const PREFIX: &str = "SPIN_VARIABLE";

/// A word of the command line: `KEY=VALUE`, `KEY=@FILE`, `@FILE.json` or `@FILE.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VariableSource(String);

impl FromStr for VariableSource {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self(word.to_owned()))
    }
}

impl VariableSource {
    fn values(&self) -> Result<BTreeMap<String, String>> {
        let read = |file: &str| std::fs::read_to_string(file).with_context(|| format!("--variable {}", self.0));
        if let Some(file) = self.0.strip_prefix('@') {
            let text = read(file)?;
            return match Path::new(file).extension().and_then(|extension| extension.to_str()) {
                Some("json") => serde_json::from_str(&text).with_context(|| format!("--variable {}", self.0)),
                Some("toml") => toml::from_str(&text).with_context(|| format!("--variable {}", self.0)),
                _ => bail!("--variable {}: the file's name must end in .json or .toml", self.0),
            };
        }
        let Some((name, value)) = self.0.split_once('=') else {
            bail!("--variable takes KEY=VALUE, KEY=@FILE, @FILE.json or @FILE.toml");
        };
        let value = value.strip_prefix('@').map_or_else(|| Ok(value.to_owned()), read)?;
        Ok(BTreeMap::from([(name.to_owned(), value)]))
    }
}

/// An entry of `[[variables_provider]]`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Provider {
    /// Values that stand there.
    Static {
        /// By name.
        values: BTreeMap<String, String>,
    },
    /// The environment, by names with another prefix, or another file.
    Env {
        /// Without the underscore at its end.
        prefix: Option<String>,
        /// Instead of none.
        dotenv_path: Option<PathBuf>,
    },
    /// What only Spin itself can ask.
    #[serde(other)]
    Remote,
}

/// Where a variable may have its value from.
type Source<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Takes the values of these variables from where they are. One that is nowhere is left out.
pub(super) fn resolve(
    names: &[String],
    words: &[VariableSource],
    providers: &[Provider],
) -> Result<BTreeMap<String, String>> {
    let mut of_words = BTreeMap::new();
    for word in words {
        of_words.extend(word.values()?);
    }
    let mut sources: Vec<Source<'_>> = vec![Box::new(move |name| of_words.get(name).cloned())];
    for provider in providers {
        match provider {
            Provider::Static { values } => sources.push(Box::new(|name| values.get(name).cloned())),
            Provider::Env { prefix, dotenv_path } => {
                sources.push(environment(prefix.as_deref().unwrap_or(PREFIX), dotenv_path.as_deref())?);
            }
            Provider::Remote => bail!(
                "the Kafka trigger takes variables from the environment and from static providers; set the others as \
                 {PREFIX}_<NAME>"
            ),
        }
    }
    sources.push(environment(PREFIX, Some(Path::new(DOTENV)))?);
    let found = |name: &String| Some((name.clone(), sources.iter().find_map(|source| source(name))?));
    Ok(names.iter().filter_map(found).collect())
}

/// The environment, then a file of the same names if there is one.
fn environment(prefix: &str, file: Option<&Path>) -> Result<Source<'static>> {
    let of_file = match file {
        Some(file) if file.is_file() => {
            let text = std::fs::read_to_string(file).with_context(|| format!("variables in {}", file.display()))?;
            text.lines().filter_map(assignment).collect()
        }
        _ => BTreeMap::new(),
    };
    let prefix = prefix.to_owned();
    Ok(Box::new(move |name| {
        let name = format!("{prefix}_{}", name.to_ascii_uppercase());
        std::env::var(&name).ok().or_else(|| of_file.get(&name).cloned())
    }))
}

/// A line `NAME=value` of such a file; the value may stand in quotes.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    (!name.starts_with('#')).then(|| (name.trim().to_owned(), quoted.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_comes_before_providers() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let words: Vec<VariableSource> = [
            "a=1".to_owned(),
            "b=first".to_owned(),
            format!("b=@{}", file("b.txt", "from a file")),
            format!("@{}", file("c.toml", "c = \"toml\"")),
            format!("@{}", file("d.json", r#"{"d": "json"}"#)),
        ]
        .iter()
        .map(|word| word.parse().unwrap())
        .collect();
        let values =
            BTreeMap::from([("a", "static"), ("e", "static")].map(|(name, value)| (name.into(), value.into())));
        let dotenv = file("env", "# a comment\nOTHER_E=env\nexport OTHER_F='env f'\nOTHER_G = \"env g\"\n");
        let env = Provider::Env { prefix: Some("OTHER".to_owned()), dotenv_path: Some(dotenv.into()) };
        let names: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "nowhere"].map(str::to_owned).into();
        let found = resolve(&names, &words, &[Provider::Static { values }, env]).unwrap();
        let found: Vec<_> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(found, ["a=1", "b=from a file", "c=toml", "d=json", "e=static", "f=env f", "g=env g"]);
        assert!(resolve(&names, &[], &[Provider::Remote]).is_err());
        assert!(resolve(&names, &["x".parse().unwrap()], &[]).is_err());
    }
}

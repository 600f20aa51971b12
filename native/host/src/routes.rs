//! Which component answers a path. The rules are those of Spin's HTTP trigger, and so is the router underneath.

use http::{HeaderName, HeaderValue};

use crate::manifest::HttpTrigger;

/// Paths below this one belong to the host.
pub(crate) const WELL_KNOWN_PREFIX: &str = "/.well-known/spin/";

/// The routes of an application.
#[derive(Debug, Default)]
pub(crate) struct Router {
    finder: routefinder::Router<usize>,
    routes: Vec<Route>,
}

/// One route, with what every request to it is told prepared.
#[derive(Debug)]
pub(crate) struct Route {
    /// Index of the component.
    pub(crate) component: usize,
    /// As in the manifest, without a trailing slash.
    pub(crate) based: HeaderValue,
    /// As in the manifest.
    pub(crate) raw: HeaderValue,
    /// As in the manifest, without a trailing wildcard.
    pub(crate) prefix: HeaderValue,
    /// The header of each named segment.
    parameters: Vec<(String, HeaderName)>,
}

/// A path that a route answers.
pub(crate) struct Matched<'router, 'path> {
    pub(crate) route: &'router Route,
    path: &'path str,
    captures: routefinder::Captures<'router, 'path>,
}

impl Router {
    /// Builds the router. `component` gives the index of a component by its id. The error lists every route at fault.
    pub(crate) fn new(triggers: &[HttpTrigger], component: impl Fn(&str) -> usize) -> Result<Self, Vec<String>> {
        let mut router = Self::default();
        let mut problems = Vec::new();
        let mut seen: Vec<(String, &str, &str)> = Vec::new();
        for trigger in triggers {
            let Some(raw) = &trigger.route else { continue };
            let shape = shape(raw);
            if let Some((_, first, owner)) = seen.iter().find(|(other, _, _)| *other == shape) {
                problems.push(format!("route {raw} of {} is a duplicate of {first} of {owner}", trigger.component));
                continue;
            }
            seen.push((shape, raw, &trigger.component));
            if let Err(reason) = router.add(raw, component(&trigger.component)) {
                problems.push(format!("route {raw} of {}: {reason}", trigger.component));
            }
        }
        if problems.is_empty() { Ok(router) } else { Err(problems) }
    }

    fn add(&mut self, raw: &str, component: usize) -> Result<(), String> {
        let based = based(raw);
        if based.starts_with(WELL_KNOWN_PREFIX) {
            return Err(format!("paths below {WELL_KNOWN_PREFIX} are answered by the host"));
        }
        let spec = match based.strip_suffix("/...") {
            Some(prefix) => format!("{prefix}/*"),
            None => based.clone(),
        };
        let parameters = spec
            .split('/')
            .filter_map(|segment| segment.strip_prefix(':'))
            .map(|name| {
                let header = format!("spin-path-match-{}", name.to_ascii_lowercase().replace('_', "-"));
                let header = HeaderName::from_bytes(header.as_bytes());
                header.map(|header| (name.to_owned(), header)).map_err(|_| format!(":{name} cannot be a header's name"))
            })
            .collect::<Result<_, _>>()?;
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "it is not printable ASCII".to_owned());
        let route = Route {
            component,
            based: value(&based)?,
            raw: value(raw)?,
            prefix: value(raw.strip_suffix("/...").unwrap_or(raw))?,
            parameters,
        };
        self.finder.add(spec, self.routes.len())?;
        self.routes.push(route);
        Ok(())
    }

    /// The route that answers a path: literal segments before named ones, named ones before a trailing wildcard, the
    /// longest literal prefix first.
    pub(crate) fn find<'router, 'path>(&'router self, path: &'path str) -> Option<Matched<'router, 'path>> {
        let found = self.finder.best_match(path)?;
        let route = self.routes.get(*found.handler())?;
        Some(Matched { route, path, captures: found.captures() })
    }
}

impl Matched<'_, '_> {
    /// What a trailing wildcard stands for, from its slash on. None for a route without one.
    pub(crate) fn path_info(&self) -> Option<String> {
        let rest = self.captures.wildcard()?;
        // The router drops the slashes around the rest; Spin keeps them.
        Some(match (rest.is_empty(), self.path.ends_with('/')) {
            (true, false) => String::new(),
            (true, true) => "/".to_owned(),
            (false, false) => format!("/{rest}"),
            (false, true) => format!("/{rest}/"),
        })
    }

    /// The named segments: the header of each, and what it stands for, not percent-decoded.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.route.parameters.iter().filter_map(|(name, header)| self.captures.get(name).map(|value| (header, value)))
    }
}

/// A route with a leading slash and without a trailing one.
fn based(raw: &str) -> String {
    let absolute = if raw.starts_with('/') { raw.to_owned() } else { format!("/{raw}") };
    absolute.strip_suffix('/').map_or(absolute.clone(), str::to_owned)
}

/// What two routes have in common that answer the same paths: names of segments do not tell them apart.
fn shape(raw: &str) -> String {
    let based = based(raw);
    let based = based.strip_suffix("/...").map_or(based.clone(), |prefix| format!("{prefix}/*"));
    let segments = based.split('/').map(|segment| if segment.starts_with(':') { ":" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(routes: &[&str]) -> Result<Router, Vec<String>> {
        let triggers: Vec<_> = routes
            .iter()
            .map(|route| HttpTrigger { component: (*route).to_owned(), route: Some((*route).to_owned()) })
            .collect();
        Router::new(&triggers, |id| routes.iter().position(|route| *route == id).unwrap())
    }

    /// The route among `routes` that answers `path`.
    fn find<'a>(routes: &[&'a str], path: &str) -> Option<&'a str> {
        build(routes).unwrap().find(path).map(|matched| routes[matched.route.component])
    }

    #[test]
    fn exact_routes() {
        let routes = ["/", "/foo", "/foo/bar"];
        assert_eq!(find(&routes, "/"), Some("/"));
        assert_eq!(find(&routes, "/foo"), Some("/foo"));
        assert_eq!(find(&routes, "/foo/"), Some("/foo"));
        assert_eq!(find(&routes, "/foo/bar"), Some("/foo/bar"));
        assert_eq!(find(&routes, "/foo/baz"), None);
        assert_eq!(find(&routes, "/fooo"), None);
        assert_eq!(find(&["foo"], "/foo"), Some("foo"));
    }

    #[test]
    fn wildcards_answer_their_own_path_and_everything_below() {
        for path in ["/users", "/users/", "/users/1", "/users/1/edit"] {
            assert_eq!(find(&["/users/..."], path), Some("/users/..."), "{path}");
        }
        assert_eq!(find(&["/users/..."], "/usersx"), None);
        assert_eq!(find(&["/..."], "/"), Some("/..."));
    }

    #[test]
    fn literal_before_named_before_wildcard_and_the_longest_prefix_first() {
        let routes = ["/...", "/one/...", "/one/:id", "/one/two", "/one/two/three/..."];
        assert_eq!(find(&routes, "/one/two"), Some("/one/two"));
        assert_eq!(find(&routes, "/one/else"), Some("/one/:id"));
        assert_eq!(find(&routes, "/one/two/three/four"), Some("/one/two/three/..."));
        assert_eq!(find(&routes, "/one/two/four"), Some("/one/..."));
        assert_eq!(find(&routes, "/two"), Some("/..."));
        let mut reversed = routes;
        reversed.reverse();
        assert_eq!(find(&reversed, "/one/two/three/four"), Some("/one/two/three/..."));
    }

    #[test]
    fn path_info_keeps_its_slashes() {
        let router = build(&["/test/...", "/exact"]).unwrap();
        for (path, info) in [
            ("/test", Some("")),
            ("/test/", Some("/")),
            ("/test/hello", Some("/hello")),
            ("/test/hello/", Some("/hello/")),
            ("/test/a/b", Some("/a/b")),
            ("/exact", None),
        ] {
            assert_eq!(router.find(path).unwrap().path_info().as_deref(), info, "{path}");
        }
        assert_eq!(build(&["/..."]).unwrap().find("/1/2/3").unwrap().path_info().as_deref(), Some("/1/2/3"));
    }

    #[test]
    fn named_segments_become_headers() {
        let router = build(&["/rooms/:room_id/messages/:ID/..."]).unwrap();
        let matched = router.find("/rooms/a%20b/messages/42/x").unwrap();
        let parameters: Vec<_> = matched.parameters().map(|(header, value)| (header.as_str(), value)).collect();
        assert_eq!(parameters, [("spin-path-match-room-id", "a%20b"), ("spin-path-match-id", "42")]);
        assert_eq!(matched.route.based, "/rooms/:room_id/messages/:ID/...");
        assert_eq!(matched.route.prefix, "/rooms/:room_id/messages/:ID");
    }

    #[test]
    fn duplicates_and_reserved_routes_are_refused() {
        for routes in [["/a", "/a"], ["/a", "/a/"], ["/a", "a"], ["/a/...", "/a/*"], ["/a/:x", "/a/:y"]] {
            let problems = build(&routes).unwrap_err();
            assert!(problems[0].contains("duplicate"), "{routes:?}: {problems:?}");
        }
        assert!(build(&["/a/:x", "/a/x", "/a/...", "/a"]).is_ok());
        assert!(build(&["/.well-known/spin/x"]).is_err());
        assert!(build(&["/.well-known/spin/..."]).is_err());
        assert!(build(&["/.well-known/spindle/..."]).is_ok());
    }
}

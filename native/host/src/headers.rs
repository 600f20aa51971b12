//! The headers that a request carries to a component: Spin's own, and the request id.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use plaza_http::REQUEST_ID;

use crate::routes::Matched;

const SPIN_PREFIX: &str = "spin-";
const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");

/// The client address of a request that came from inside, as Spin gives it.
const INSIDE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The route that Spin makes up for a request from one component to another.
const CHAINED_ROUTE: HeaderValue = HeaderValue::from_static("/...");
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Removes what a client pretends to be Spin's, and sets what is. `matched` is none for a request to a component by name.
pub(crate) fn prepare(
    headers: &mut HeaderMap,
    uri: &Uri,
    matched: Option<&Matched<'_, '_>>,
    client: Option<SocketAddr>,
    request_id: &HeaderValue,
) {
    if headers.keys().any(|name| name.as_str().starts_with(SPIN_PREFIX)) {
        let forged: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(SPIN_PREFIX)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
    // A header of any length that the server accepted fits; one that is not a valid value cannot come from a valid URI.
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(EMPTY);
    // HTTP/2 has no Host header. To a component that another one calls, Spin says localhost.
    let in_uri = || uri.authority().filter(|_| matched.is_some()).map_or("localhost", Authority::as_str);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_else(in_uri);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let full_url = value(format!("{}://{host}{path}", uri.scheme_str().unwrap_or("http")));
    if let Some(matched) = matched {
        let route = matched.route;
        headers.insert(PATH_INFO, matched.path_info().map_or(EMPTY, value));
        headers.insert(MATCHED_ROUTE, route.based.clone());
        headers.insert(RAW_COMPONENT_ROUTE, route.raw.clone());
        headers.insert(COMPONENT_ROUTE, route.prefix.clone());
        for (name, captured) in matched.parameters() {
            if let Ok(captured) = HeaderValue::from_str(captured) {
                headers.insert(name, captured);
            }
        }
    } else {
        headers.insert(PATH_INFO, value(uri.path().to_owned()));
        headers.insert(MATCHED_ROUTE, CHAINED_ROUTE);
        headers.insert(RAW_COMPONENT_ROUTE, CHAINED_ROUTE);
        headers.insert(COMPONENT_ROUTE, EMPTY);
    }
    headers.insert(FULL_URL, full_url);
    headers.insert(BASE_PATH, HeaderValue::from_static("/"));
    headers.insert(CLIENT_ADDR, value(client.unwrap_or(INSIDE).to_string()));
    headers.insert(REQUEST_ID, request_id.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::HttpTrigger;
    use crate::routes::Router;

    fn prepared(route: &str, uri: &str, mut headers: HeaderMap) -> HeaderMap {
        let trigger = HttpTrigger { component: "x".to_owned(), route: Some(route.to_owned()) };
        let router = Router::new(&[trigger], |_| 0).unwrap();
        let uri: Uri = uri.parse().unwrap();
        let matched = router.find(uri.path()).unwrap();
        let client = Some("127.0.0.1:8777".parse().unwrap());
        prepare(&mut headers, &uri, Some(&matched), client, &HeaderValue::from_static("id"));
        headers
    }

    #[test]
    fn spins_own_example() {
        let host = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("fermyon.dev"))]);
        let headers = prepared("/foo/:user_id/...", "https://fermyon.dev/foo/42/bar?key1=value1&key2=value2", host);
        for (name, value) in [
            ("spin-full-url", "https://fermyon.dev/foo/42/bar?key1=value1&key2=value2"),
            ("spin-path-info", "/bar"),
            ("spin-matched-route", "/foo/:user_id/..."),
            ("spin-base-path", "/"),
            ("spin-raw-component-route", "/foo/:user_id/..."),
            ("spin-component-route", "/foo/:user_id"),
            ("spin-client-addr", "127.0.0.1:8777"),
            ("spin-path-match-user-id", "42"),
            ("x-request-id", "id"),
        ] {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_a_client_forges_is_gone() {
        let mut forged = HeaderMap::new();
        for name in ["spin-client-addr", "spin-path-match-user-id", "spin-anything"] {
            forged.append(HeaderName::from_static(name), HeaderValue::from_static("forged"));
            forged.append(HeaderName::from_static(name), HeaderValue::from_static("twice"));
        }
        let headers = prepared("/exact", "/exact", forged);
        assert_eq!(headers.get_all("spin-client-addr").iter().collect::<Vec<_>>(), ["127.0.0.1:8777"]);
        assert!(headers.get("spin-path-match-user-id").is_none());
        assert!(headers.get("spin-anything").is_none());
        assert_eq!(headers["spin-path-info"], "");
        assert_eq!(headers["spin-full-url"], "http://localhost/exact");
        let headers = prepared("/exact", "https://plaza.test:8443/exact?x", HeaderMap::new());
        assert_eq!(headers["spin-full-url"], "https://plaza.test:8443/exact?x");
    }
}

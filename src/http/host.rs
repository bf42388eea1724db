//! Checks the host name of a request. This stops DNS rebinding: a foreign page whose name resolves to this machine sends its own name.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The address that the server is bound to, and the other names that lead there.
#[derive(Debug)]
pub(crate) struct HostNames {
    bound: IpAddr,
    /// This machine's name; accepted if others can reach the server.
    machine: Option<String>,
}

impl HostNames {
    pub(crate) fn new(bound: IpAddr) -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        Self {
            bound,
            machine: machine.map(|name| name.trim().to_owned()),
        }
    }

    /// Whether a `Host` header names this server: its address, `localhost` if the server is bound there, or this machine's name if others can
    /// reach it.
    /// Any port is accepted, so that a tunnel (`ssh -L`) works.
    fn allow(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        if let Ok(address) = name.parse::<IpAddr>() {
            // Nobody can redirect a literal address, so any address of this machine is accepted.
            return self.bound.is_unspecified()
                || address.to_canonical() == self.bound.to_canonical();
        }
        let is_machine = |machine: &String| name.eq_ignore_ascii_case(machine);
        match name {
            "" => false,
            name if name.eq_ignore_ascii_case("localhost") => self.is_local(),
            _ => !self.bound.is_loopback() && self.machine.as_ref().is_some_and(is_machine),
        }
    }

    /// Whether `localhost` leads to the bound address.
    fn is_local(&self) -> bool {
        self.bound.is_loopback() || self.bound.is_unspecified()
    }
}

/// The host of `host:port`, as `host` or `[address]`; `None` if it is neither.
fn without_port(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = rest.strip_prefix(':').unwrap_or("0");
    let fits = rest.is_empty() || rest.starts_with(':');
    (fits && port.parse::<u16>().is_ok()).then_some(name)
}

/// Refuses a request unless it has exactly one `Host`, and that and the host in its first line (if any) name this server.
pub(crate) async fn only_ours(
    State(names): State<Arc<HostNames>>,
    request: Request,
    next: Next,
) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let is_ours = hosts.next().is_none()
        && host.is_some_and(|host| names.allow(host))
        && request.uri().host().is_none_or(|host| names.allow(host));
    if is_ours {
        return next.run(request).await;
    }
    let text = format!(
        "This host name is not allowed; use http://{}/ with the port. (This protects against requests from other sites.)\n",
        if names.is_local() {
            "localhost".to_owned()
        } else {
            names.bound.to_string()
        }
    );
    (StatusCode::FORBIDDEN, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bound: &str) -> HostNames {
        HostNames {
            bound: bound.parse().unwrap(),
            machine: Some("kitchen-pc".into()),
        }
    }

    #[test]
    fn only_names_of_this_server_are_allowed() {
        let here = names("127.0.0.1");
        for host in ["127.0.0.1", "127.0.0.1:8000", "localhost:80", "LOCALHOST"] {
            assert!(here.allow(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.2",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "localhost:80:80",
            "user@localhost",
            "[::1",
            "[::1]x",
            "kitchen-pc",
            "0.0.0.0",
            "2130706433",
        ] {
            assert!(!here.allow(host), "{host}");
        }
    }

    #[test]
    fn a_server_bound_everywhere_accepts_addresses_and_the_machines_name() {
        let all = names("0.0.0.0");
        for host in [
            "192.168.0.2:8000",
            "[::1]:8000",
            "localhost",
            "kitchen-PC:8000",
        ] {
            assert!(all.allow(host), "{host}");
        }
        assert!(!all.allow("evil.example"));
        let six = names("::1");
        assert!(six.allow("[::1]:9") && six.allow("localhost") && !six.allow("::1"));
        let one = names("192.168.0.2");
        assert!(one.allow("192.168.0.2") && one.allow("kitchen-pc"));
        assert!(!one.allow("localhost") && !one.allow("192.168.0.3"));
    }
}

//! Which addresses are of this machine or its own network. A server of the open network must not
//! send us there: what answers there trusts whoever can ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use url::{Host, Url};

/// Whether an address names something near by itself, without asking for what a name stands for.
pub(super) fn is_near_by_name(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_near(address.into()),
        Some(Host::Ipv6(address)) => is_near(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

/// Whether an address leads to something near, also by what its name stands for.
pub(super) fn leads_near(url: &Url) -> bool {
    let stands_for = || {
        let at = (url.host_str()?, url.port_or_known_default()?).to_socket_addrs();
        Some(at.ok()?.any(|address| is_near(address.ip())))
    };
    is_near_by_name(url) || stands_for().unwrap_or(false)
}

/// Whether an address is of this machine, of a network of its own, or of nobody.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_near_v4(address),
        IpAddr::V6(address) => is_near_v6(address),
    }
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let for_tests = a == 198 && (18..20).contains(&b);
    let nobody = a == 0 || a >= 224 || (a, b, c) == (192, 0, 0);
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || shared
        || for_tests
        || nobody
}

fn is_near_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let [.., w, x, y, z] = address.octets();
    let last = is_near_v4(Ipv4Addr::new(w, x, y, z));
    // Addresses of version 4 in those of version 6: `::ffff:a.b.c.d` and `::a.b.c.d`, behind a
    // translator, and 6to4.
    let holds_v4 = address.segments()[..5] == [0; 5] || (a, b) == (0x64, 0xff9b);
    let [b0, b1] = b.to_be_bytes();
    let [c0, c1] = c.to_be_bytes();
    let is_6to4 = a == 0x2002 && is_near_v4(Ipv4Addr::new(b0, b1, c0, c1));
    let local = address.is_unique_local() || address.is_unicast_link_local();
    local || address.is_multicast() || (holds_v4 && last) || is_6to4 || address.is_loopback()
}

/// Finds the addresses of a name and refuses those near, so that what is connected to is what was
/// looked at.
#[derive(Debug, Default)]
pub(super) struct Far(DefaultResolver);

/// A name stands for an address near.
#[derive(Debug, thiserror::Error)]
#[error("it is on this machine or in its own network")]
pub(super) struct Near;

impl Resolver for Far {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        // A proxy is the person's own choice.
        let is_proxy = config.proxy().is_some_and(|proxy| {
            Some(proxy.host()) == uri.host() && Some(proxy.port()) == uri.port_u16()
        });
        match !is_proxy && found.iter().any(|address| is_near(address.ip())) {
            true => Err(ureq::Error::Other(Box::new(Near))),
            false => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_near_are_told_from_those_far() {
        let near = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ];
        for text in near {
            assert!(is_near(text.parse().expect("an address")), "{text}");
        }
        let far = [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "192.0.2.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ];
        for text in far {
            assert!(!is_near(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn an_address_is_near_however_it_is_written() {
        let near = |text: &str| is_near_by_name(&Url::parse(text).expect("an address"));
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:8080/",
            "https://localhost/",
            "https://LOCALHOST./",
            "http://a.localhost/",
            "http://[::ffff:192.168.0.1]/",
        ] {
            assert!(near(text), "{text}");
        }
        for text in ["https://huggingface.co/", "https://localhost.example/", "http://1.1.1.1/"] {
            assert!(!near(text), "{text}");
        }
    }
}

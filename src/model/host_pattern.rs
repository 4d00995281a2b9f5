//! Hosts as kubelet matches them: label by label, where `*` stands for any run within its label.

/// Whether `host[:port]` is like a pattern of the same form. Ports are equal as text.
pub fn is_like(host: &str, pattern: &str) -> bool {
    let (pattern, pattern_port) = split_port(pattern);
    let (host, port) = split_port(host);
    pattern_port == port
        && pattern.split('.').count() == host.split('.').count()
        && pattern
            .split('.')
            .zip(host.split('.'))
            .all(|(pattern, label)| is_label_like(label, pattern))
}

/// Host and port; the colons of an IPv6 address are none of a port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_label_like(label: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return label == pattern;
    };
    let Some(mut left) = label.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

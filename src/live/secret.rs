//! Hides the passwords of URLs in texts.

/// A text without the passwords of its URLs.
pub(super) fn without_password(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        safe.push_str(before);
        let stop = after
            .find(|c: char| c == '/' || c == '?' || c.is_whitespace())
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(stop);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                safe.push_str("...@");
                safe.push_str(host);
            }
            None => safe.push_str(authority),
        }
        rest = tail;
    }
    safe.push_str(rest);
    match safe.find("passphrase=") {
        Some(at) => {
            let secret = at + "passphrase=".len();
            let stop = safe[secret..]
                .find(|c: char| c == '&' || c.is_whitespace())
                .map_or(safe.len(), |stop| secret + stop);
            format!("{}...{}", &safe[..secret], &safe[stop..])
        }
        None => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden() {
        for (text, safe) in [
            (
                "rtsp://me:s3cret@10.0.0.7:554/a?b=c",
                "rtsp://...@10.0.0.7:554/a?b=c",
            ),
            (
                "a rtsp://u:p@q@h/x and http://h2/y",
                "a rtsp://...@h/x and http://h2/y",
            ),
            ("/dev/video0", "/dev/video0"),
            ("srt://h:1?passphrase=x&a=b", "srt://h:1?passphrase=...&a=b"),
        ] {
            assert_eq!(without_password(text), safe);
        }
    }
}

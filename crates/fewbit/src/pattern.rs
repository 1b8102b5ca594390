//! Patterns over parameter paths: `*` stands for any run of characters, `?` for one.

/// Whether `pattern` matches the whole of `path`.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    let (mut p, mut s) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one character further along the path.
    let mut retry: Option<(usize, usize)> = None;
    while s < path.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, s));
                p += 1;
            }
            Some(&c) if c == '?' || c == path[s] => {
                p += 1;
                s += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    s = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether a path is chosen: it matches one of `include` (all, where that is empty) and none of `exclude`.
pub fn selects(include: &[String], exclude: &[String], path: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, path));
    (include.is_empty() || any(include)) && !any(exclude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("*", "fc.weight", true),
            ("fc.*", "fc.weight", true),
            ("fc.*", "fc1.weight", false),
            ("*.bias", "layers.0.bias", true),
            ("*.bias", "layers.0.bias.scale", false),
            ("layers.?.up.*", "layers.3.up.weight", true),
            ("layers.?.up.*", "layers.13.up.weight", false),
            ("*a*b", "aXbXb", true),
            ("a*b*c", "abcbd", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches(pattern, path), expected, "`{pattern}` on `{path}`");
        }
    }

    #[test]
    fn exclusion_wins_over_inclusion() {
        let list = |patterns: &[&str]| patterns.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        assert!(selects(&[], &[], "a.weight"));
        assert!(!selects(&list(&["b.*"]), &[], "a.weight"));
        assert!(!selects(&list(&["a.*"]), &list(&["*.weight"]), "a.weight"));
    }
}

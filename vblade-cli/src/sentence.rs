//! What clap says in several paragraphs, as one sentence.

/// The error in one line: what is wrong, and tips if there are any. `program` is where help is.
pub(crate) fn one_sentence(error: &clap::Error, program: &str) -> String {
    let text = error.render().to_string();
    let mut paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let first = paragraphs.next().unwrap_or_default();
    let mut sentence = first.strip_prefix("error: ").unwrap_or(&first).to_owned();
    for paragraph in paragraphs.filter(|paragraph| paragraph.starts_with("tip: ")) {
        sentence.push_str("; ");
        sentence.push_str(&paragraph);
    }
    format!("{sentence}; see {program} --help")
}

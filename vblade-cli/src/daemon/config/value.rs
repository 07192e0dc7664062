//! Values of the files, read with a type and a range. What is wrong is told where it is written, and reading goes on.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::mistake::Place;
use super::section::{Section, Text};

/// A value and the key it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    pub(super) text: &'t Text,
    pub(super) key: &'t str,
    pub(super) key_span: Range<usize>,
    pub(super) value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Entry<'t> {
    /// Where the value is.
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn place(&self) -> Place {
        self.text.place(&self.span())
    }

    /// Tells that the value is wrong: what is, and the remedy.
    pub(super) fn wrong(&self, what: impl Display) {
        self.text.wrong(&self.span(), format!("{}: {what}", self.key));
    }

    pub(super) fn wrong_type(&self, wanted: &str) {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format_args!("this is {found}; give {wanted}"));
    }

    /// A text, given in quotes.
    pub(super) fn words(&self) -> Option<&'t str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type("a text in quotes");
                None
            }
        }
    }

    /// The value as it is written, if it is a text or a whole number.
    pub(super) fn words_or_number(&self) -> Option<&'t str> {
        match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            _ => self.words(),
        }
    }

    /// An absolute path.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.words()?);
        if !path.is_absolute() {
            self.wrong(format_args!("{path:?} does not begin at the root; give it with all its directories"));
            return None;
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            self.wrong("a path holds no zero byte; leave it out");
            return None;
        }
        Some(path)
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                self.wrong_type("true or false, without quotes");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn number<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Into<u64> + TryFrom<u64>,
    {
        let DeValue::Integer(number) = self.value.get_ref() else {
            let (least, most) = ((*range.start()).into(), (*range.end()).into());
            self.wrong_type(&format!("a whole number without quotes, {least} to {most}"));
            return None;
        };
        self.within(u64::from_str_radix(number.as_str(), number.radix()).ok(), number, &range)
    }

    /// A number of bytes within `range`: a whole number, or a text such as `"100M"`.
    pub(super) fn bytes(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::String(text) = self.value.get_ref() else { return self.number(range) };
        let (digits, unit) = match text.char_indices().next_back() {
            Some((at, 'K')) => (&text[..at], 1 << 10),
            Some((at, 'M')) => (&text[..at], 1 << 20),
            Some((at, 'G')) => (&text[..at], 1 << 30),
            _ => (text.as_ref(), 1),
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            self.wrong(format_args!(
                "{text:?} is no size; give a whole number, or one with K, M or G (KiB, MiB, GiB) after it"
            ));
            return None;
        }
        let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        self.within(bytes, text, &range)
    }

    fn within<T>(&self, number: Option<u64>, text: &impl Display, range: &RangeInclusive<T>) -> Option<T>
    where
        T: Copy + Into<u64> + TryFrom<u64>,
    {
        let (least, most) = ((*range.start()).into(), (*range.end()).into());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.wrong(format_args!("{text} is out of range; give {least} to {most}"));
        }
        number.and_then(|number| T::try_from(number).ok())
    }

    /// The texts of a list, or the one text that is given instead. What is no text is told and left out.
    pub(super) fn list(&self) -> Vec<(Entry<'t>, &'t str)> {
        let items: Vec<_> = match self.value.get_ref() {
            DeValue::Array(items) => items.iter().map(|value| Entry { value, ..self.clone() }).collect(),
            DeValue::String(_) => vec![self.clone()],
            _ => {
                self.wrong_type("a list of texts, such as [\"one\", \"two\"]");
                Vec::new()
            }
        };
        items.into_iter().filter_map(|item| item.words().map(|words| (item.clone(), words))).collect()
    }

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(items) if items.is_empty())
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables(&self) -> Vec<Section<'t>> {
        match self.value.get_ref() {
            DeValue::Array(items) => {
                let items = items.iter().map(|value| Entry { value, ..self.clone() });
                items.filter_map(|item| Section::of(&item)).collect()
            }
            _ => {
                self.text.wrong(
                    &self.key_span,
                    format!("{0}: there may be several; write [[{0}]] above each", self.key),
                );
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::*;

    /// What `read` makes of `value`, or what it says.
    fn read<T>(value: &str, read: impl Fn(&Entry<'_>) -> Option<T>) -> Result<T, String> {
        let text = Text::new(Place::of_file(0, Path::new("f")), format!("key = {value}"));
        let table = DeTable::parse(&text.text).expect("TOML");
        let read = read(&Section::new(&text, &table).entry("key").expect("the key"));
        let mistakes = text.mistakes.borrow().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        if mistakes.is_empty() { Ok(read.expect("a value or a mistake")) } else { Err(mistakes) }
    }

    #[test]
    fn numbers_have_a_range_that_is_told() {
        let number = |value| read(value, |entry| entry.number(2..=0xffff_u16));
        assert_eq!((number("2"), number("65_535"), number("0x10")), (Ok(2), Ok(65535), Ok(16)));
        for value in ["1", "-1", "65536", "99999999999999999999999"] {
            let error = number(value).expect_err("out of range");
            assert_eq!(error, format!("f:1:7: key: {value} is out of range; give 2 to 65535"));
        }
        let error = number("\"16\"").expect_err("a text");
        assert_eq!(error, "f:1:7: key: this is a text; give a whole number without quotes, 2 to 65535");
        assert!(number("1.5").is_err() && number("true").is_err() && number("[2]").is_err());
    }

    #[test]
    fn sizes_may_have_a_unit() {
        let bytes = |value| read(value, |entry| entry.bytes(1..=1 << 40));
        assert_eq!((bytes("512"), bytes("\"512\"")), (Ok(512), Ok(512)));
        assert_eq!(
            (bytes("\"1K\""), bytes("\"100M\""), bytes("\"2G\"")),
            (Ok(1024), Ok(100 << 20), Ok(2 << 30))
        );
        for value in ["\"M\"", "\"\"", "\"1.5G\"", "\"1 M\"", "\"-1M\"", "\"1MB\"", "\"1m\""] {
            assert!(bytes(value).expect_err("no size").contains("is no size; give"), "{value}");
        }
        for value in ["0", "\"0M\"", "\"99999999999999G\"", "\"99999999999999999999999\""] {
            assert!(bytes(value).expect_err("too much").contains("out of range"), "{value}");
        }
    }

    #[test]
    fn a_list_may_be_a_single_text_and_each_wrong_item_is_told() {
        let list = |value| {
            read(value, |entry| {
                Some(entry.list().iter().map(|(_, text)| *text).collect::<Vec<_>>().join(" "))
            })
        };
        assert_eq!(
            (list("\"a\""), list("[\"a\", \"b\"]"), list("[]")),
            (Ok("a".into()), Ok("a b".into()), Ok(String::new()))
        );
        let error = list("[\"a\", 2, true]").expect_err("no texts");
        assert_eq!(error.lines().count(), 2);
        assert!(error.starts_with("f:1:13: key: this is a whole number; give a text in quotes"), "{error}");
    }

    #[test]
    fn paths_begin_at_the_root() {
        let path = |value| read(value, |entry| entry.path());
        assert_eq!(path("\"/dev/sdb\""), Ok("/dev/sdb".into()));
        assert!(path("\"disk.img\"").expect_err("relative").contains("give it with all its directories"));
        assert!(path("\"/a\\u0000b\"").is_err());
    }
}

//! Reads classic capture files.

/// The frames of a little-endian, untruncated Ethernet capture, in order.
///
/// # Panics
/// If the file is anything else.
#[must_use]
pub fn frames(file: &[u8]) -> Vec<&[u8]> {
    assert_eq!(file.get(..4), Some(&[0xd4, 0xc3, 0xb2, 0xa1][..]), "not a little-endian capture");
    assert_eq!(word(file, 20), 1, "not a capture of Ethernet frames");
    let mut frames = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let (captured, original) = (word(file, at + 8), word(file, at + 12));
        assert_eq!(captured, original, "frame {} is cut short", frames.len() + 1);
        at += 16;
        frames.push(&file[at..at + captured]);
        at += captured;
    }
    frames
}

fn word(file: &[u8], at: usize) -> usize {
    let bytes = file[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(bytes) as usize
}

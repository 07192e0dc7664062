//! Copying between the pieces of a frame and the pieces of a request's buffer.

/// Copies `len` bytes from byte `from` of the pieces `src` to byte `to` of the pieces `dst`. Returns how many there were.
pub(crate) fn copy<'s, 'd>(
    src: impl Iterator<Item = &'s [u8]>,
    from: usize,
    dst: impl Iterator<Item = &'d mut [u8]>,
    to: usize,
    len: usize,
) -> usize {
    let mut skip = from;
    let mut src = src.filter_map(|piece| {
        let cut = skip.min(piece.len());
        skip -= cut;
        (cut < piece.len()).then(|| &piece[cut..])
    });
    let (mut skip, mut left, mut have) = (to, len, &[][..]);
    for piece in dst {
        let cut = skip.min(piece.len());
        skip -= cut;
        let mut room = &mut piece[cut..];
        while !room.is_empty() && left > 0 {
            if have.is_empty() {
                match src.next() {
                    Some(piece) => have = piece,
                    None => return len - left,
                }
            }
            let step = have.len().min(room.len()).min(left);
            let (now, later) = room.split_at_mut(step);
            now.copy_from_slice(&have[..step]);
            (have, room, left) = (&have[step..], later, left - step);
        }
    }
    len - left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_from_any_pieces_to_any_pieces() {
        let src: Vec<u8> = (0..100).collect();
        for cut in [1, 3, 40, 100] {
            for (from, to, len) in [(0, 0, 100), (36, 5, 60), (99, 0, 1), (7, 90, 10)] {
                let mut dst = [0_u8; 100];
                let copied = copy(src.chunks(cut), from, dst.chunks_mut(7), to, len);
                assert_eq!(copied, len);
                assert_eq!(dst[to..to + len], src[from..from + len]);
                assert!(dst[..to].iter().chain(&dst[to + len..]).all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn a_source_too_short_is_told_by_the_count() {
        let mut dst = [0; 10];
        assert_eq!(copy([&[1_u8, 2, 3][..]].into_iter(), 1, [&mut dst[..]].into_iter(), 0, 10), 2);
    }
}

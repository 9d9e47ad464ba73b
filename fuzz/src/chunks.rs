//! Lists of chunks: what reads is written as the same bytes again.

pub(crate) fn chunks(data: &[u8]) {
    let Ok(chunks) = propeller_sandbox::chunks::chunks(data) else {
        return;
    };
    let chunks: Vec<&[u8]> = chunks.collect();
    let number = |number: usize| {
        let number = u32::try_from(number).expect("it was read as one");
        number.to_le_bytes()
    };
    let mut list = number(chunks.len()).to_vec();
    for chunk in chunks {
        list.extend_from_slice(&number(chunk.len()));
        list.extend_from_slice(chunk);
    }
    assert_eq!(list, data);
}

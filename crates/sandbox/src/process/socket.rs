//! Messages with descriptors, over sockets that keep messages apart.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The most descriptors that one message has: those of an external runtime.
const DESCRIPTORS_MAX: usize = 5;

/// Two connected sockets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message.
pub(crate) fn send(to: impl AsFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        to,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message and its descriptors; an empty one is the end.
pub(crate) fn receive(
    from: impl AsFd,
    buffer: &mut [u8],
    with: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(buffer)];
    let message = recvmsg(from, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            with.extend(descriptors);
        }
    }
    whole(message.bytes, message.flags)
}

/// Receives one message from somebody who is not trusted: there is no room for descriptors, so the
/// kernel drops them.
pub(super) fn receive_bytes(from: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut control = RecvAncillaryBuffer::default();
    let slices = &mut [IoSliceMut::new(buffer)];
    let message = recvmsg(from, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    whole(message.bytes, message.flags)
}

/// Sends one message, when there is room.
pub(super) async fn send_when_possible(
    to: &AsyncFd<OwnedFd>,
    bytes: &[u8],
    with: &[BorrowedFd<'_>],
) -> io::Result<()> {
    to.async_io(Interest::WRITABLE, |to| send(to, bytes, with))
        .await
}

/// Receives one message of a child.
pub(crate) async fn receive_when_there(
    from: &AsyncFd<OwnedFd>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    from.async_io(Interest::READABLE, |from| receive_bytes(from, buffer))
        .await
}

fn whole(bytes: usize, flags: ReturnFlags) -> io::Result<usize> {
    if flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}

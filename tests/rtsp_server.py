"""A camera for the tests: an RTSP server on loopback that plays a recording, as often as it is asked for.

    python3 rtsp_server.py PORT FILE [--sound none|ends|later|g711] [--video ends] [--user NAME:PASSWORD]

`ends` stops after some seconds, and `later` pauses for some, though the connection stays.

It needs python3-gi and gir1.2-gst-rtsp-server-1.0, prints `ready` once it listens, and ends with its parent.
"""
import argparse
import ctypes
import signal

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def valves(element, args):
    """Closes and opens what of the media does not play all the time."""
    def later(ms, name, closed):
        GLib.timeout_add(ms, lambda: element.get_by_name(name).set_property("drop", closed))

    if args.sound == "later":
        later(1_000, "sound", True)
        later(17_000, "sound", False)
    if args.video == "ends":
        later(5_000, "video", True)


def main():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("file")
    parser.add_argument("--sound", default="aac", choices=["aac", "none", "ends", "later", "g711"])
    parser.add_argument("--video", default="plays", choices=["plays", "ends"])
    parser.add_argument("--user")
    args = parser.parse_args()
    Gst.init(None)
    sound = {
        "aac": "d. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97",
        "later": "d. ! queue ! aacparse ! valve name=sound ! rtpmp4gpay name=pay1 pt=97",
        "none": "",
        "ends": "audiotestsrc num-buffers=200 wave=ticks is-live=true ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
        "g711": "audiotestsrc wave=ticks is-live=true ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
    }[args.sound]
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( filesrc location={args.file} ! qtdemux name=d "
        f"d. ! queue ! h264parse ! valve name=video ! rtph264pay name=pay0 pt=96 config-interval=-1 {sound} )"
    )
    factory.set_shared(False)
    factory.connect("media-configure", lambda _, media: valves(media.get_element(), args))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(args.port)
    if args.user:
        name, password = args.user.split(":")
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()

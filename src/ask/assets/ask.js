"use strict";
// Plays a span of a recording, and stops at its end.
let ends = new Map();
for (const button of document.querySelectorAll("button.play")) {
  button.addEventListener("click", () => {
    const video = document.getElementById("video" + button.dataset.video);
    ends.set(video, Number(button.dataset.stop));
    video.currentTime = Number(button.dataset.start);
    video.play();
  });
}
for (const video of document.querySelectorAll("video")) {
  video.addEventListener("timeupdate", () => {
    if (ends.has(video) && video.currentTime >= ends.get(video)) {
      ends.delete(video);
      video.pause();
    }
  });
}

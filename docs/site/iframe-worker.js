// Searching in pages that were opened from disk. A browser starts no worker from a file: address,
// so the worker's script runs in a hidden frame of the page instead.
"use strict";

if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const load = (url) =>
        new Promise((done, failed) => {
          const script = frame.contentDocument.createElement("script");
          script.src = url;
          script.onload = done;
          script.onerror = () => failed(new Error(`${url} cannot be loaded`));
          frame.contentDocument.head.append(script);
        });
      const ready = new Promise((done) => (frame.onload = done)).then(() => {
        const inside = frame.contentWindow;
        inside.importScripts = (...urls) =>
          urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve());
        inside.postMessage = (data) =>
          this.dispatchEvent(new MessageEvent("message", { data }));
        return load(new URL(address, document.baseURI).href);
      });
      this.postMessage = (data) =>
        ready.then(() => frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
      this.terminate = () => frame.remove();
      document.body.append(frame);
    }
  };
  window.Worker = window.IFrameWorker;
}

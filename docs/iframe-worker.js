// Search in pages that are opened from files: a browser starts no worker there, so a hidden frame plays one.
// The plugin "offline" of MkDocs Material wants a script of this name that has IFrameWorker, or fetches it from a CDN.
class IFrameWorker extends EventTarget {
  constructor(address) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.append(this.frame);
    const inside = this.frame.contentWindow;
    this.hear = (event) => {
      if (event.source === inside) this.dispatchEvent(new MessageEvent("message", { data: event.data }));
    };
    addEventListener("message", this.hear);
    inside.document.open();
    inside.document.write(`<!doctype html><body><script>
      var postMessage = (data) => parent.postMessage(data, "*");
      var bring = (address) => new Promise((onload, onerror) => {
        const script = document.createElement("script");
        document.body.append(Object.assign(script, { src: address, onload, onerror }));
      });
      var importScripts = async (...addresses) => {
        for (const address of addresses) await bring(address);
      };
    <\/script><script src="${address}"><\/script></body>`);
    inside.document.close();
    this.ready = new Promise((done) => inside.addEventListener("load", done));
  }

  async postMessage(data) {
    await this.ready;
    this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
  }

  terminate() {
    removeEventListener("message", this.hear);
    this.frame.remove();
  }
}

window.IFrameWorker = IFrameWorker;
if (location.protocol === "file:") window.Worker = IFrameWorker;

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { VerifyPage } from "./pages/verify";
import "./styles.css";

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <main>
      <VerifyPage />
    </main>
  </StrictMode>,
);

import { createRoot } from "react-dom/client";

import { Console } from "./console.tsx";
import { takeLink } from "./invite.ts";
import { takeOutcome } from "./outcome.ts";
import "./style.css";

const root = document.getElementById("console");
if (root) createRoot(root).render(<Console firstLink={takeLink()} outcome={takeOutcome()} />);

// The page's behaviour, one module per subject. Everything here adds to pages that work without it.
import "./menus.js";
import "./messages.js";
import "./htmx.js";
import "./queue.js";
import "./palette.js";
import "./preferences.js";
import "./rail.js";
import "./forms.js";
import "./matrix.js";
import "./drafts.js";

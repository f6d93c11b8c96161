// The only entry point. Every page works without it; it spares reloads and second clicks.
import { offerRetries } from "./cards.js";
import { sendFormsOnce } from "./forms.js";
import { answerInPlace, keepPrompt } from "./playground.js";
import { watchTopup } from "./topup.js";

sendFormsOnce();
offerRetries();
keepPrompt();
answerInPlace();
watchTopup();

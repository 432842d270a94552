// The code is on its way to another host: the form is sent at once, and its button is for whoever has no script.
document.forms[0].submit();

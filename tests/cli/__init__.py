"""The commands, with small fake children and scripted routers."""

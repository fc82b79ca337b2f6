"""How windows are judged: the calibrated lane, the gross lane and the anchor report. Pure numpy; services/monitoring/README.md says how they speak."""
